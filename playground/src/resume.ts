/** What a subscription's result looks like here: one field, and in it the position of the event. */
interface Result {
  data?: Record<string, { cursor?: string } | null> | null;
}

interface Request {
  variables?: Record<string, unknown> | null;
}

interface Sink {
  next(result: unknown): void;
  error(error: unknown): void;
  complete(): void;
}

/**
 * Makes `subscribe` of a graphql-ws or a graphql-sse client go on where a lost connection broke off, without a gap
 * or a repeat:
 *
 *     const client = createClient({ url, retryAttempts: Infinity, shouldRetry: () => true });
 *     const subscribe = resuming(client.subscribe);
 *     subscribe({ query: "subscription ($after: String) { reservationChanged(after: $after) { cursor … } }" }, sink);
 *
 * (`shouldRetry` is of graphql-ws, which else gives up when a connection is refused; graphql-sse does not need it.)
 *
 * The document takes `$after` and asks for `cursor`; with another one nothing is resumed. For no gap before the first
 * event either, start from the `streamCursor` of a list: `variables: { after: streamCursor }`.
 *
 * Both clients connect again by themselves and then write the request out once more. So it is enough to put the
 * newest cursor into its variables.
 */
export function resuming<S extends (request: never, sink: never, ...more: never[]) => () => void>(subscribe: S): S {
  const plain = subscribe as unknown as (request: Request, sink: Sink, ...more: unknown[]) => () => void;
  const resumed = (request: Request, sink: Sink, ...more: unknown[]) => {
    const variables = { ...request.variables };
    return plain(
      { ...request, variables },
      {
        next(result) {
          sink.next(result);
          const cursor = newest(result as Result);
          if (cursor) {
            variables.after = cursor;
          }
        },
        error: (error) => sink.error(error),
        complete: () => sink.complete(),
      },
      ...more,
    );
  };
  return resumed as unknown as S;
}

function newest(result: Result): string | undefined {
  return Object.values(result.data ?? {})[0]?.cursor;
}
