/** graphql-sse in its distinct connections mode, with the helper for resuming. */
import { inspect } from "node:util";
import { createClient } from "graphql-sse";
import { resuming } from "../../../playground/src/resume.ts";
import { type Change, promises, type Result } from "./promises.ts";

promises("graphql-sse", (server) => {
  const client = resuming(
    createClient({
      url: server.url("http"),
      retryAttempts: Number.POSITIVE_INFINITY,
      retry: () => new Promise((resolve) => setTimeout(resolve, 20)),
    }),
  );
  return {
    query: (query, variables) =>
      new Promise<Result>((resolve, reject) => {
        client.subscribe({ query, variables }, { next: resolve, error: reject, complete() {} });
      }),
    follow: (query, variables, sink) =>
      client.subscribe<{ reservationChanged: Change }>(
        { query, variables },
        {
          next: ({ data, errors }) => (data && !errors ? sink.next(data.reservationChanged) : sink.error(errors ?? [])),
          error: (error) => sink.error([{ message: inspect(error) }]),
          complete() {},
        },
      ),
    iterate: (query, variables) => client.iterate<{ reservationChanged: Change }>({ query, variables }),
    close: () => client.dispose(),
  };
});
