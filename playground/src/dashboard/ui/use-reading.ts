/**
 * A query that is read again every so often while the page is seen, at once when it comes back into sight, and when
 * the live connection is back. What was read stays while it is read again, and when that fails.
 */
import { useCallback, useEffect, useRef, useState } from "react";
import { type AnyVariables, type CombinedError, type TypedDocumentNode, useClient } from "urql";
import { connection } from "../api/client";

interface Reading<Data> {
  data: Data | undefined;
  error: CombinedError | undefined;
  /** Reads at once. */
  again: () => void;
}

export function useReading<Data, Variables extends AnyVariables>(
  query: TypedDocumentNode<Data, Variables>,
  variables: Variables,
  every: number,
): Reading<Data> {
  const client = useClient();
  const [answer, setAnswer] = useState<Omit<Reading<Data>, "again">>({ data: undefined, error: undefined });
  const key = JSON.stringify(variables);
  const newest = useRef(variables);
  newest.current = variables;
  const asked = useRef(0);

  const again = useCallback(() => {
    asked.current += 1;
    const mine = asked.current;
    void client
      .query(query, newest.current)
      .toPromise()
      .then(({ data, error }) => {
        if (mine === asked.current) {
          setAnswer((before) => ({ data: data ?? before.data, error }));
        }
      });
  }, [client, query]);

  useEffect(() => {
    setAnswer({ data: undefined, error: undefined });
    again();
    const whenSeen = () => {
      if (!window.document.hidden) {
        again();
      }
    };
    const timer = setInterval(whenSeen, every);
    window.document.addEventListener("visibilitychange", whenSeen);
    const stopListening = connection.subscribe(whenSeen);
    return () => {
      asked.current += 1;
      clearInterval(timer);
      window.document.removeEventListener("visibilitychange", whenSeen);
      stopListening();
    };
  }, [again, every, key]);

  return { ...answer, again };
}
