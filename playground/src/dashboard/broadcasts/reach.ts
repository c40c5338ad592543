/** How many guests a broadcast would reach: a dry run, again whenever the filter changes, and every few seconds. */
import { useCallback, useEffect, useRef, useState } from "react";
import { useClient } from "urql";
import { BroadcastSendDocument } from "../../generated/documents";
import { sentence } from "../api/problem";
import { type Filters, toFilter } from "../reservations/filters";

const EVERY = 5_000;
/** A dry run counts and sends nothing; it asks for a message all the same. */
const ANY_MESSAGE = "-";

export function useReach(filters: Filters) {
  const client = useClient();
  const [reach, setReach] = useState<{ count: number | undefined; problem: string | null }>({
    count: undefined,
    problem: null,
  });
  const asked = useRef(0);
  const again = useCallback(async () => {
    asked.current += 1;
    const mine = asked.current;
    const input = { message: ANY_MESSAGE, filter: toFilter(filters), dryRun: true };
    const { data, error } = await client.mutation(BroadcastSendDocument, { input }).toPromise();
    if (mine !== asked.current) {
      return;
    }
    const answer = data?.broadcast;
    const [refusal] = answer?.userErrors ?? [];
    if (refusal?.code === "NO_RECIPIENTS") {
      setReach({ count: 0, problem: null });
    } else {
      const problem = error ? sentence(error) : (refusal?.message ?? null);
      setReach({ count: answer?.recipientCount ?? undefined, problem });
    }
  }, [client, filters]);
  useEffect(() => {
    void again();
    const timer = setInterval(() => !document.hidden && void again(), EVERY);
    return () => {
      asked.current += 1;
      clearInterval(timer);
    };
  }, [again]);
  return { ...reach, again: () => void again() };
}
