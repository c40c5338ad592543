/** Operations: whether webhooks reach us, and those that could not be applied. */
import { useState } from "react";
import { useClient } from "urql";
import {
  OperationsDocument,
  type RegistrationFragment,
  WebhookRegisterDocument,
  WebhookUnregisterDocument,
} from "../../generated/documents";
import { sentence } from "../api/problem";
import { Button } from "../ui/controls";
import { ago, moment } from "../ui/format";
import { Empty, Loading, Problem } from "../ui/states";
import { useReading } from "../ui/use-reading";
import { useTicking } from "../ui/use-ticking";
import { Rejected } from "./rejected";

const EVERY = 5_000;

export default function OperationsPage() {
  const { data, error, again } = useReading(OperationsDocument, {}, EVERY);
  return (
    <div className="page">
      <div className="page-head">
        <h1>Operations</h1>
      </div>
      {error && <Problem onRetry={again}>{sentence(error)}</Problem>}
      <section className="card" aria-label="Webhook registration">
        {!data && !error && <Loading lines={3} />}
        {data &&
          (data.webhookRegistration ? (
            <Registered {...data.webhookRegistration} onAnswer={again} />
          ) : (
            <Empty title="The server does not register itself.">
              <p>
                Set <code>PUBLIC_WEBHOOK_URL</code> to the address that the booking source reaches it at, and it keeps
                itself registered.
              </p>
            </Empty>
          ))}
      </section>
      <Rejected />
    </div>
  );
}

function Registered({ url, isRegistered, checkedAt, lastEventAt, gaps, onAnswer }: RegistrationFragment & { onAnswer: () => void }) {
  const client = useClient();
  const now = useTicking(1_000);
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const set = async (register: boolean) => {
    setBusy(true);
    const { data, error } = await (register
      ? client.mutation(WebhookRegisterDocument, {}).toPromise()
      : client.mutation(WebhookUnregisterDocument, {}).toPromise());
    setBusy(false);
    setProblem(error ? sentence(error) : (data?.result?.userErrors[0]?.message ?? null));
    onAnswer();
  };
  return (
    <>
      <div className="card-head">
        <h2>Webhook registration</h2>
        <div className="buttons">
          {isRegistered ? (
            <Button look="danger" isDisabled={isBusy} onPress={() => void set(false)}>
              Unregister
            </Button>
          ) : (
            <Button look="primary" isDisabled={isBusy} onPress={() => void set(true)}>
              Register
            </Button>
          )}
        </div>
      </div>
      {problem && <Problem>{problem}</Problem>}
      <dl className="facts">
        <dt>State</dt>
        <dd>
          <span className={`status status-${isRegistered ? "sent" : "failed"}`}>
            {isRegistered ? "Registered" : "Not registered: events are missed"}
          </span>
        </dd>
        <dt>Address</dt>
        <dd className="mono">{url}</dd>
        <dt>Last event</dt>
        <dd>{lastEventAt ? <Moment at={lastEventAt} now={now} /> : "none yet"}</dd>
        <dt>Checked</dt>
        <dd>{checkedAt ? <Moment at={checkedAt} now={now} /> : "not yet"}</dd>
        <dt>Gaps</dt>
        <dd>
          {gaps.length === 0 ? (
            "none known"
          ) : (
            <ul>
              {gaps.map(({ from, to }) => (
                <li key={from}>
                  {moment(from)} – {to ? moment(to) : "now"}
                </li>
              ))}
            </ul>
          )}
        </dd>
      </dl>
    </>
  );
}

function Moment({ at, now }: { at: string; now: number }) {
  return (
    <time dateTime={at} title={moment(at)}>
      {ago(at, now)}
    </time>
  );
}
