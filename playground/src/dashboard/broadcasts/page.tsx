/** Broadcasts: what was sent, newest first, and one of them with its progress. */
import { useState } from "react";
import { Link } from "wouter";
import { BroadcastsDocument, type SendingFragment } from "../../generated/documents";
import { sentence } from "../api/problem";
import { Button } from "../ui/controls";
import { number, shortMoment } from "../ui/format";
import { Icon } from "../ui/icon";
import { Empty, Loading, Problem, Status } from "../ui/states";
import { useMedia } from "../ui/use-media";
import { useReading } from "../ui/use-reading";
import { BroadcastDetails } from "./details";
import { Bar } from "./bar";

const EVERY = 2_000;

export default function BroadcastsPage({ id }: { id: string | undefined }) {
  const [pages, setPages] = useState<(string | null)[]>([null]);
  const { data, error, again } = useReading(BroadcastsDocument, { after: pages.at(-1) ?? null }, EVERY);
  const isNarrow = useMedia("(max-width: 760px)");
  const broadcasts = data?.broadcasts;
  const shown = id ?? (isNarrow ? undefined : broadcasts?.nodes[0]?.id);
  return (
    <div className="page columns-wide">
      <div className="page-head">
        <h1>Broadcasts</h1>
        <Link className="button button-primary" href="/broadcasts/new">
          <Icon name="plus" />
          New broadcast
        </Link>
      </div>
      {error && <Problem onRetry={again}>{sentence(error)}</Problem>}
      {!broadcasts && !error && <Loading />}
      {broadcasts && broadcasts.totalCount === 0 && !id && (
        <Empty title="Nothing was sent yet.">
          <p>Filter the reservations, and write to their guests: each gets one message.</p>
          <Link className="button" href="/broadcasts/new">
            Write the first
          </Link>
        </Empty>
      )}
      {broadcasts && (broadcasts.totalCount > 0 || id) && (
        <div className="columns">
          {!(isNarrow && id) && (
            <nav aria-label="Sent broadcasts">
              <ul className="side-list">
                {broadcasts.nodes.map((broadcast) => (
                  <li key={broadcast.id}>
                    <Item broadcast={broadcast} isCurrent={broadcast.id === shown} />
                  </li>
                ))}
              </ul>
              <div className="buttons">
                {pages.length > 1 && (
                  <Button small look="quiet" onPress={() => setPages(pages.slice(0, -1))}>
                    Newer
                  </Button>
                )}
                {broadcasts.pageInfo.hasNextPage && (
                  <Button small look="quiet" onPress={() => setPages([...pages, broadcasts.pageInfo.endCursor])}>
                    Older
                  </Button>
                )}
              </div>
            </nav>
          )}
          {isNarrow && id && <Link href="/broadcasts">All broadcasts</Link>}
          {shown && <BroadcastDetails key={shown} id={shown} />}
        </div>
      )}
    </div>
  );
}

function Item({ broadcast, isCurrent }: { broadcast: SendingFragment; isCurrent: boolean }) {
  const { id, message, status, counts, createdAt } = broadcast;
  return (
    <Link className="side-item" href={`/broadcasts/${id}`} aria-current={isCurrent ? "true" : undefined}>
      <span className="side-item-text">{message}</span>
      <Bar counts={counts} isThin />
      <span className="side-item-line">
        <Status of={status} />
        <span>
          {number(counts.sent)} of {number(counts.total)}
        </span>
        <span>{shortMoment(createdAt)}</span>
      </span>
    </Link>
  );
}
