/** The messages of a broadcast by what became of them; first of all who did not get it, and why. */
import { useEffect, useRef, useState } from "react";
import { ToggleButton, ToggleButtonGroup } from "react-aria-components";
import { type Client, useClient } from "urql";
import {
  BroadcastMessagesDocument,
  type BroadcastMessagesQuery,
  type BroadcastMessageStatus,
  type SendingFragment,
} from "../../generated/documents";
import { Button } from "../ui/controls";
import { nameOf, shortMoment } from "../ui/format";
import { Loading, Status } from "../ui/states";

type Messages = NonNullable<BroadcastMessagesQuery["broadcast"]>["messages"];

const groups: Record<string, { name: string; statuses: BroadcastMessageStatus[]; none: string }> = {
  missed: {
    name: "Did not get it",
    statuses: ["FAILED", "UNCERTAIN", "CANCELLED"],
    none: "Nobody so far: no message failed.",
  },
  waiting: { name: "Waiting", statuses: ["PENDING"], none: "Nobody waits." },
  sent: { name: "Got it", statuses: ["SENT"], none: "Nobody yet." },
};

const EVERY = 1_000;

interface Props {
  id: string;
  counts: SendingFragment["counts"];
}

export function Messages({ id, counts }: Props) {
  const [chosen, setChosen] = useState("missed");
  const group = groups[chosen] ?? { name: "", statuses: [], none: "" };
  const { messages, more } = useMessages(id, group.statuses, JSON.stringify(counts));
  return (
    <section aria-label="Messages" className="card-section">
      <ToggleButtonGroup
        className="tabs"
        aria-label="Which messages"
        selectedKeys={[chosen]}
        disallowEmptySelection
        onSelectionChange={([key]) => setChosen(String(key))}
      >
        {Object.entries(groups).map(([key, { name }]) => (
          <ToggleButton key={key} id={key} className="chip chip-plain">
            {name}
          </ToggleButton>
        ))}
      </ToggleButtonGroup>
      {!messages && <Loading lines={3} />}
      {messages?.nodes.length === 0 && <p className="faint rows-none">{group.none}</p>}
      {messages && messages.nodes.length > 0 && <Rows nodes={messages.nodes} />}
      {messages?.pageInfo.hasNextPage && (
        <Button small look="quiet" onPress={more}>
          Show more
        </Button>
      )}
    </section>
  );
}

function Rows({ nodes }: { nodes: Messages["nodes"] }) {
  return (
    <div className="rows-wrap">
      <table className="rows">
        <thead>
          <tr>
            <th>Guest</th>
            <th>State</th>
            <th>Tries</th>
            <th>Why</th>
          </tr>
        </thead>
        <tbody>
          {nodes.map(({ id, guest, status, attempts, lastError, nextAttemptAt }) => (
            <tr key={id}>
              <td>
                {nameOf(guest) ?? <span className="mono">{guest.guestId}</span>}
                {guest.email && <div className="faint">{guest.email}</div>}
              </td>
              <td>
                <Status of={status} />
              </td>
              <td>{attempts}</td>
              <td>
                {lastError ?? <span className="faint">–</span>}
                {nextAttemptAt && lastError && <div className="faint">again at {shortMoment(nextAttemptAt)}</div>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Read anew when the counts have changed, but not more than once a second; as many pages as were asked for. */
function useMessages(id: string, statuses: BroadcastMessageStatus[], version: string) {
  const client = useClient();
  const [messages, setMessages] = useState<Messages>();
  const [pages, setPages] = useState(1);
  const wanted = statuses.join();
  const readAt = useRef(0);
  useEffect(() => {
    setMessages(undefined);
    setPages(wanted ? 1 : 0);
    readAt.current = 0;
  }, [wanted]);
  useEffect(() => {
    let isCurrent = version !== "";
    const read = async () => {
      readAt.current = Date.now();
      const answer = await readPages(client, id, wanted.split(",") as BroadcastMessageStatus[], pages);
      if (isCurrent && answer) {
        setMessages(answer);
      }
    };
    const timer = setTimeout(read, Math.max(0, readAt.current + EVERY - Date.now()));
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [client, id, wanted, version, pages]);
  return {
    messages,
    more: () => {
      readAt.current = 0;
      setPages(pages + 1);
    },
  };
}

async function readPages(
  client: Client,
  id: string,
  statuses: BroadcastMessageStatus[],
  pages: number,
): Promise<Messages | undefined> {
  let all: Messages | undefined;
  for (let page = 0; page < pages && (all?.pageInfo.hasNextPage ?? true); page += 1) {
    const after = all?.pageInfo.endCursor ?? null;
    const { data } = await client.query(BroadcastMessagesDocument, { id, statuses, after }).toPromise();
    const next = data?.broadcast?.messages;
    if (!next) {
      return undefined;
    }
    all = { ...next, nodes: [...(all?.nodes ?? []), ...next.nodes] };
  }
  return all;
}
