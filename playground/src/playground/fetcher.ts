import { createGraphiQLFetcher, type Fetcher } from "@graphiql/toolkit";
import { createClient } from "graphql-ws";
import { resuming } from "../resume";

const http = new URL("/graphql", window.location.href);

const webSocket = new URL(http);
webSocket.protocol = http.protocol === "https:" ? "wss:" : "ws:";

/**
 * Queries and mutations by POST, subscriptions over `graphql-transport-ws`, which go on after a lost connection.
 * What is typed under "Headers" goes out as request headers, and as connection parameters of the WebSocket.
 */
export const fetcher: Fetcher = (params, options) => {
  // Connects when something is subscribed to, and not before.
  const client = createClient({
    url: webSocket.href,
    connectionParams: options?.headers,
    // Also when a connection is refused, while the server is away.
    shouldRetry: () => true,
  });
  const fetch = createGraphiQLFetcher({
    url: http.href,
    wsClient: resuming(client),
    // Else it asks for multipart/mixed on each query, which is for @defer and @stream: the server has neither.
    enableIncrementalDelivery: false,
  });
  return fetch(params, options);
};
