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

/** What of a graphql-ws or a graphql-sse client is made to resume. */
interface Client {
  subscribe(request: never, sink: never, ...more: never[]): () => void;
  iterate(request: never, ...more: never[]): AsyncIterableIterator<unknown>;
}

/**
 * Makes the subscriptions of a graphql-ws or a graphql-sse client go on where a lost connection broke off, without a
 * gap or a repeat, both by `subscribe` and by `iterate`:
 *
 *     const client = resuming(createClient({ url, retryAttempts: Infinity, shouldRetry: () => true }));
 *     client.subscribe({ query: "subscription ($after: String) { reservationChanged(after: $after) { cursor … } }" }, sink);
 *
 * (`shouldRetry` is of graphql-ws, which else gives up when a connection is refused; graphql-sse does not need it.)
 *
 * The document takes `$after` and asks for `cursor`; with another one nothing is resumed. For no gap before the first
 * event either, start from the `streamCursor` of a list: `variables: { after: streamCursor }`.
 *
 * Both clients connect again by themselves and then write the request out once more. So it is enough to put the
 * newest cursor into its variables. It is put there when an event comes in, not when the loop over `iterate` gets to
 * it: hence an `iterate` of our own.
 */
export function resuming<C extends Client>(client: C): C {
  const plain = client.subscribe as (request: Request, sink: Sink, ...more: unknown[]) => () => void;
  const subscribe = (request: Request, sink: Sink, ...more: unknown[]) => {
    const variables = { ...request.variables };
    return plain(
      { ...request, variables },
      {
        next(result) {
          const cursor = newest(result as Result);
          if (cursor) {
            variables.after = cursor;
          }
          sink.next(result);
        },
        error: (error) => sink.error(error),
        complete: () => sink.complete(),
      },
      ...more,
    );
  };
  const iterate = (request: Request, ...more: unknown[]) => iterator((sink) => subscribe(request, sink, ...more));
  return { ...client, subscribe, iterate };
}

/** The results of a subscription one after the other, kept until they are asked for. Left early, it ends. */
function iterator(subscribe: (sink: Sink) => () => void): AsyncIterableIterator<unknown> {
  const results: unknown[] = [];
  let failure: { error: unknown } | undefined;
  let isDone = false;
  let wake = () => {};
  const finish = (error?: { error: unknown }) => {
    failure = error;
    isDone = true;
    wake();
  };
  const end = subscribe({
    next(result) {
      results.push(result);
      wake();
    },
    error: (error) => finish({ error }),
    complete: () => finish(),
  });
  return {
    async next() {
      while (!results.length && !isDone) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (results.length) {
        return { done: false, value: results.shift() };
      }
      if (failure) {
        throw failure.error;
      }
      return { done: true, value: undefined };
    },
    async return() {
      results.length = 0;
      end();
      finish();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

function newest(result: Result): string | undefined {
  return Object.values(result.data ?? {})[0]?.cursor;
}
