/** What is being written, kept by the browser for this tab until it is sent. */
import { useCallback, useEffect, useState } from "react";
import type { UncertainPolicy } from "../../generated/documents";

const KEY = "besty:draft";

export interface Draft {
  message: string;
  /** As the browser's picker writes it, in local time; empty: at once. */
  startsAt: string;
  onUncertain: UncertainPolicy;
}

const empty: Draft = { message: "", startsAt: "", onUncertain: "RESEND" };

function stored(): Draft {
  try {
    return { ...empty, ...JSON.parse(sessionStorage.getItem(KEY) ?? "{}") };
  } catch {
    return empty;
  }
}

export function useDraft() {
  const [draft, setDraft] = useState(stored);
  useEffect(() => sessionStorage.setItem(KEY, JSON.stringify(draft)), [draft]);
  const change = useCallback((part: Partial<Draft>) => setDraft((before) => ({ ...before, ...part })), []);
  const clear = useCallback(() => {
    sessionStorage.removeItem(KEY);
    setDraft(empty);
  }, []);
  return { draft, change, clear };
}
