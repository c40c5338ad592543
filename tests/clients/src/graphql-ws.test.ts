/** graphql-ws, which speaks `graphql-transport-ws`, with the helper for resuming. */
import { inspect } from "node:util";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { resuming } from "../../../playground/src/resume.ts";
import { type Change, type GraphQLErrorLike, promises, type Result } from "./promises.ts";

promises("graphql-ws", (server) => {
  const client = resuming(
    createClient({
      url: server.url("ws"),
      webSocketImpl: WebSocket,
      retryAttempts: Number.POSITIVE_INFINITY,
      // Else a connection that is refused, while the server is away, would be the end.
      shouldRetry: () => true,
      retryWait: () => new Promise((resolve) => setTimeout(resolve, 20)),
    }),
  );
  return {
    query: (query, variables) =>
      new Promise<Result>((resolve, reject) => {
        client.subscribe(
          { query, variables },
          { next: resolve, error: (errors) => failed(errors, (errors) => resolve({ errors }), reject), complete() {} },
        );
      }),
    follow: (query, variables, sink) =>
      client.subscribe<{ reservationChanged: Change }>(
        { query, variables },
        {
          next: ({ data, errors }) => (data && !errors ? sink.next(data.reservationChanged) : sink.error(errors ?? [])),
          error: (errors) => failed(errors, sink.error, (error) => sink.error([{ message: inspect(error) }])),
          complete() {},
        },
      ),
    iterate: (query, variables) => client.iterate<{ reservationChanged: Change }>({ query, variables }),
    close: () => void client.dispose(),
  };
});

/** The errors of an `error` message come as a list, all others as one `Error` or close event. */
function failed(
  error: unknown,
  told: (errors: GraphQLErrorLike[]) => void,
  otherwise: (error: unknown) => void,
): void {
  if (Array.isArray(error)) {
    told(error);
  } else {
    otherwise(error);
  }
}
