/** How live the page is: a dot and a word. */
import { useSyncExternalStore } from "react";
import { connection } from "../api/client";
import { time } from "./format";

const words = { connecting: "Connecting", live: "Live", lost: "Reconnecting" } as const;

export function LiveState() {
  const { state, ...rest } = useSyncExternalStore(connection.subscribe, connection.get);
  const since = "since" in rest ? `since ${time(rest.since)}` : undefined;
  return (
    <span className={`live live-${state}`} role="status" aria-label="Connection" title={since}>
      {words[state]}
    </span>
  );
}
