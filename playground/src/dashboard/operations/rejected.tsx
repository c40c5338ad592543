/** Webhooks that could not be applied: when, why, what they were, and another try. */
import { useState } from "react";
import { Button as AriaButton, Disclosure, DisclosurePanel, Heading } from "react-aria-components";
import { useClient } from "urql";
import { RejectedWebhooksDocument, type RejectedWebhooksQuery, WebhookRetryDocument } from "../../generated/documents";
import { sentence } from "../api/problem";
import { Button } from "../ui/controls";
import { moment, number, shortMoment } from "../ui/format";
import { Empty, Loading, Problem } from "../ui/states";
import { useReading } from "../ui/use-reading";

const EVERY = 5_000;

type Webhook = NonNullable<RejectedWebhooksQuery["rejectedWebhooks"]>["nodes"][number];

export function Rejected() {
  const [pages, setPages] = useState<(string | null)[]>([null]);
  const { data, error, again } = useReading(RejectedWebhooksDocument, { after: pages.at(-1) ?? null }, EVERY);
  const rejected = data?.rejectedWebhooks;
  return (
    <section className="card" aria-label="Rejected webhooks">
      <div className="card-head">
        <h2>Rejected webhooks</h2>
        {rejected && <span className="faint">{number(rejected.totalCount)} kept</span>}
      </div>
      {error && <Problem onRetry={again}>{sentence(error)}</Problem>}
      {!data && !error && <Loading lines={3} />}
      {rejected?.totalCount === 0 && (
        <Empty title="None.">
          <p>A webhook with the right secret that can't be applied is kept here, with the reason.</p>
        </Empty>
      )}
      {rejected && rejected.nodes.length > 0 && (
        <div>
          {rejected.nodes.map((webhook) => (
            <Item key={webhook.id} {...webhook} onAnswer={again} />
          ))}
        </div>
      )}
      <div className="buttons">
        {pages.length > 1 && (
          <Button small look="quiet" onPress={() => setPages(pages.slice(0, -1))}>
            Newer
          </Button>
        )}
        {rejected?.pageInfo.hasNextPage && (
          <Button small look="quiet" onPress={() => setPages([...pages, rejected.pageInfo.endCursor])}>
            Older
          </Button>
        )}
      </div>
    </section>
  );
}

function Item({ id, receivedAt, reason, body, appliedAt, onAnswer }: Webhook & { onAnswer: () => void }) {
  const client = useClient();
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const retry = async () => {
    setBusy(true);
    const { data, error } = await client.mutation(WebhookRetryDocument, { input: { rejectedWebhookId: id } }).toPromise();
    setBusy(false);
    setProblem(error ? sentence(error) : (data?.result?.userErrors[0]?.message ?? null));
    onAnswer();
  };
  return (
    <Disclosure className="disclosure">
      <Heading level={3}>
        <AriaButton slot="trigger" className="disclosure-button">
          <time dateTime={receivedAt} title={moment(receivedAt)}>
            {shortMoment(receivedAt)}
          </time>
          <span className="reason">{reason}</span>
          <span className={`status status-${appliedAt ? "sent" : "failed"}`}>{appliedAt ? "Applied" : "Rejected"}</span>
        </AriaButton>
      </Heading>
      <DisclosurePanel className="disclosure-panel">
        <pre className="code">{readable(body)}</pre>
        {problem && <Problem>{`Still rejected: ${problem}`}</Problem>}
        {appliedAt ? (
          <p className="faint">Applied by a later try, {moment(appliedAt)}.</p>
        ) : (
          <div className="buttons">
            <Button isDisabled={isBusy} onPress={() => void retry()}>
              Try again
            </Button>
          </div>
        )}
      </DisclosurePanel>
    </Disclosure>
  );
}

/** JSON with one field a line; what is no JSON as it came. */
function readable(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
