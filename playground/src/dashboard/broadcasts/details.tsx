/** One broadcast: its message, how far it is, what one can do about it, and who did not get it. */
import { useState } from "react";
import { type AnyVariables, type TypedDocumentNode, useClient } from "urql";
import {
  BroadcastCancelDocument,
  BroadcastPauseDocument,
  BroadcastResumeDocument,
  BroadcastRetryDocument,
  type BroadcastStatus,
  type ProblemFragment,
  type SendingFragment,
} from "../../generated/documents";
import { sentence } from "../api/problem";
import { Button } from "../ui/controls";
import { Question } from "../ui/dialog";
import { ago, duration, moment, number, several } from "../ui/format";
import { Empty, Loading, Problem, Status } from "../ui/states";
import { useTicking } from "../ui/use-ticking";
import { Bar } from "./bar";
import { Messages } from "./messages";
import { useBroadcast } from "./progress";

export function BroadcastDetails({ id }: { id: string }) {
  const { broadcast, problem, take, again } = useBroadcast(id);
  if (!broadcast) {
    return problem ? (
      <Problem onRetry={again}>{problem}</Problem>
    ) : broadcast === null ? (
      <Empty title="There is no such broadcast." />
    ) : (
      <Loading />
    );
  }
  return (
    <article className="card" aria-label="Broadcast">
      <div className="card-head">
        <h2>
          <Status of={broadcast.status} />
        </h2>
        <Commands broadcast={broadcast} onAnswer={take} />
      </div>
      <p className="quote">{broadcast.message}</p>
      <Progress broadcast={broadcast} />
      <Messages id={id} counts={broadcast.counts} />
    </article>
  );
}

function Progress({ broadcast }: { broadcast: SendingFragment }) {
  const { counts, status, sendRate } = broadcast;
  const now = useTicking(1_000);
  return (
    <>
      <Bar counts={counts} />
      <dl className="counts">
        <Figure name="Guests" value={number(counts.total)} />
        <Figure name="Sent" value={number(counts.sent)} />
        <Figure name="Failed" value={number(counts.failed)} isBad={counts.failed > 0} />
        {counts.uncertain > 0 && <Figure name="Uncertain" value={number(counts.uncertain)} isBad />}
        {counts.cancelled > 0 && <Figure name="Not sent" value={number(counts.cancelled)} />}
        <Figure name="Waiting" value={number(counts.pending)} />
        {status === "SENDING" && <Figure name="Rate" value={`${number(Math.round(sendRate * 10) / 10)}/s`} />}
        {status === "SENDING" && <Figure name="Time left" value={timeLeft(broadcast, now)} />}
      </dl>
      <p className="faint">{standing(broadcast, now)}</p>
    </>
  );
}

function Figure({ name, value, isBad = false }: { name: string; value: string; isBad?: boolean }) {
  return (
    <div className={isBad ? "counts-bad" : undefined}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function timeLeft({ estimatedCompletionAt }: SendingFragment, now: number): string {
  return estimatedCompletionAt ? duration((Date.parse(estimatedCompletionAt) - now) / 1_000) : "–";
}

const reasons = {
  RATE_LIMITED: "The Guest API asks for a long wait",
  UNAUTHORIZED: "The Guest API refuses the server's credentials",
  UNAVAILABLE: "The Guest API does not answer",
} as const;

function standing({ status, createdAt, startsAt, completedAt, suspension }: SendingFragment, now: number): string {
  if (suspension) {
    const until = suspension.resumesAt ? `tried again ${ago(suspension.resumesAt, now)}` : "waits for a person";
    return `${reasons[suspension.reason]}: ${until}.`;
  }
  if (status === "QUEUED" && Date.parse(startsAt) > now) {
    return `Starts ${moment(startsAt)} (${ago(startsAt, now)}).`;
  }
  const end = completedAt ? `, finished ${moment(completedAt)}` : "";
  return `Accepted ${moment(createdAt)}${end}.`;
}

const can: Record<BroadcastStatus, readonly CommandName[]> = {
  QUEUED: ["pause", "cancel"],
  SENDING: ["pause", "cancel"],
  SUSPENDED: ["pause", "resume", "cancel"],
  PAUSED: ["resume", "cancel"],
  COMPLETED: ["retry"],
  CANCELLED: [],
};

type CommandName = "pause" | "resume" | "cancel" | "retry";

interface Answer {
  result: { broadcast: SendingFragment | null; userErrors: ProblemFragment[] } | null;
}
type Input = AnyVariables & { input: { broadcastId: string } };

const documents: Record<CommandName, TypedDocumentNode<Answer, Input>> = {
  pause: BroadcastPauseDocument,
  resume: BroadcastResumeDocument,
  cancel: BroadcastCancelDocument,
  retry: BroadcastRetryDocument,
};
const labels = { pause: "Pause", resume: "Resume", cancel: "Cancel", retry: "Try the failed again" } as const;

interface CommandsProps {
  broadcast: SendingFragment;
  onAnswer: (broadcast: SendingFragment) => void;
}

function Commands({ broadcast, onAnswer }: CommandsProps) {
  const client = useClient();
  const [running, setRunning] = useState<CommandName | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isCancelling, setCancelling] = useState(false);
  const run = async (name: CommandName) => {
    setCancelling(false);
    setRunning(name);
    setProblem(null);
    const { data, error } = await client.mutation(documents[name], { input: { broadcastId: broadcast.id } }).toPromise();
    setRunning(null);
    setProblem(error ? sentence(error) : (data?.result?.userErrors[0]?.message ?? null));
    if (data?.result?.broadcast) {
      onAnswer(data.result.broadcast);
    }
  };
  const { failed, uncertain, pending } = broadcast.counts;
  const offered = can[broadcast.status].filter((name) => name !== "retry" || failed + uncertain > 0);
  return (
    <div className="buttons">
      {problem && <Problem>{problem}</Problem>}
      {offered.map((name) => (
        <Button
          key={name}
          look={name === "cancel" ? "danger" : "plain"}
          isDisabled={running !== null}
          onPress={() => (name === "cancel" ? setCancelling(true) : void run(name))}
        >
          {running === name ? `${labels[name]} …` : labels[name]}
        </Button>
      ))}
      {isCancelling && (
        <Question title="Cancel this broadcast?" onClose={() => setCancelling(false)}>
          <p>{several(pending, "guest")} will not get the message. What was sent stays sent. This can't be undone.</p>
          <div className="question-buttons">
            <Button onPress={() => setCancelling(false)}>Go on sending</Button>
            <Button look="danger" onPress={() => void run("cancel")}>
              Cancel the broadcast
            </Button>
          </div>
        </Question>
      )}
    </div>
  );
}
