/** graphql-sse in its distinct connections mode, with the helper for resuming. */
import { inspect } from "node:util";
import { createClient } from "graphql-sse";
import { resuming } from "../../../playground/src/resume.ts";
import { type Change, promises, type Result } from "./promises.ts";

promises("graphql-sse", (server) => {
  const client = createClient({
    url: server.url("http"),
    retryAttempts: Number.POSITIVE_INFINITY,
    retry: () => new Promise((resolve) => setTimeout(resolve, 20)),
  });
  const subscribe = resuming(client.subscribe);
  return {
    query: (query, variables) =>
      new Promise<Result>((resolve, reject) => {
        client.subscribe({ query, variables }, { next: resolve, error: reject, complete() {} });
      }),
    follow: (query, variables, sink) =>
      subscribe<{ reservationChanged: Change }>(
        { query, variables },
        {
          next: ({ data, errors }) => (data && !errors ? sink.next(data.reservationChanged) : sink.error(errors ?? [])),
          error: (error) => sink.error([{ message: inspect(error) }]),
          complete() {},
        },
      ),
    close: () => client.dispose(),
  };
});
