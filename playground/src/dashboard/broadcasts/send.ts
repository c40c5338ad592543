/** Sends a broadcast: nothing is sent twice, whatever is pressed twice or tried again. */
import { useMemo, useState } from "react";
import { useClient } from "urql";
import { type BroadcastInput, BroadcastSendDocument } from "../../generated/documents";
import { sentence } from "../api/problem";

type Input = Omit<BroadcastInput, "idempotencyKey">;

/** One key for one input: a second press, or a try after a lost answer, sends nothing twice. */
function keyOf(input: Input, keys: Map<string, string>): string {
  const text = JSON.stringify(input);
  const key = keys.get(text) ?? randomKey();
  keys.set(text, key);
  return key;
}

/** `crypto.randomUUID` is there on secure origins only, and this page may be served in plain on a private network. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function useSend(onSent: (id: string) => void) {
  const client = useClient();
  const keys = useMemo(() => new Map<string, string>(), []);
  const [isSending, setSending] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [changedTo, setChangedTo] = useState(false);
  const run = async (input: Input): Promise<"sent" | "changed" | "refused"> => {
    setSending(true);
    setProblem(null);
    setChangedTo(false);
    const idempotencyKey = keyOf(input, keys);
    const { data, error } = await client
      .mutation(BroadcastSendDocument, { input: { ...input, idempotencyKey } })
      .toPromise();
    setSending(false);
    const id = data?.broadcast?.broadcast?.id;
    if (id) {
      onSent(id);
      return "sent";
    }
    const [refusal] = data?.broadcast?.userErrors ?? [];
    if (refusal?.code === "RECIPIENTS_CHANGED") {
      setChangedTo(true);
      return "changed";
    }
    setProblem(error ? sentence(error) : (refusal?.message ?? "The server gave no answer."));
    return "refused";
  };
  return { run, isSending, problem, changedTo };
}
