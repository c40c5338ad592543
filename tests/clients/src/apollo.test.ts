/** Apollo Client over HTTP: queries as JSON, subscriptions as `multipart/mixed`. */
import { inspect } from "node:util";
import { ApolloClient, CombinedGraphQLErrors, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { type Change, type Client, promises, type Sink } from "./promises.ts";

promises("apollo", (server) => {
  const client = new ApolloClient({
    link: new HttpLink({ uri: server.url("http") }),
    cache: new InMemoryCache(),
  });
  return {
    async query(document, variables) {
      const { data, error } = await client.query({
        query: gql(document),
        variables,
        fetchPolicy: "no-cache",
        errorPolicy: "all",
      });
      const errors = error && CombinedGraphQLErrors.is(error) ? error.errors : error && [error];
      return { data: data as Record<string, unknown> | undefined, errors };
    },
    follow: (document, variables, sink) => followed(client, document, variables, sink),
    close: () => client.stop(),
  } satisfies Client;
});

/** Apollo does not connect again by itself: an application subscribes again, after the newest cursor. */
function followed(client: ApolloClient, document: string, variables: Record<string, unknown>, sink: Sink): () => void {
  let after = variables["after"];
  let end = () => {};
  let isEnded = false;
  const connect = () => {
    if (isEnded) {
      return;
    }
    const again = () => setTimeout(connect, 20);
    const results = client.subscribe<{ reservationChanged: Change }>({
      query: gql(document),
      variables: { ...variables, after },
      fetchPolicy: "no-cache",
    });
    const subscription = results.subscribe({
      next({ data, error }) {
        if (error) {
          if (CombinedGraphQLErrors.is(error)) {
            sink.error(error.errors);
          } else {
            again();
          }
        } else if (data) {
          after = data.reservationChanged.cursor;
          sink.next(data.reservationChanged);
        }
      },
      error: (error) => sink.error([{ message: inspect(error) }]),
    });
    end = () => subscription.unsubscribe();
  };
  connect();
  return () => {
    isEnded = true;
    end();
  };
}
