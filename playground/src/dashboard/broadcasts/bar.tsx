/** How far a broadcast is: a part for each state, and for those who hear it, what is finished. */
import { ProgressBar } from "react-aria-components";
import type { SendingFragment } from "../../generated/documents";

const parts = ["sent", "failed", "uncertain", "cancelled"] as const;

interface Props {
  counts: SendingFragment["counts"];
  isThin?: boolean;
}

export function Bar({ counts, isThin = false }: Props) {
  const { total, pending } = counts;
  return (
    <ProgressBar aria-label="Finished messages" value={total - pending} maxValue={Math.max(1, total)}>
      <div className={`bar${isThin ? " bar-thin" : ""}`}>
        {parts.map((part) => (
          <div
            key={part}
            className={`bar-part status-${part}`}
            style={{ width: `${(counts[part] / Math.max(1, total)) * 100}%` }}
          />
        ))}
      </div>
    </ProgressBar>
  );
}
