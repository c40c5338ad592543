import { createGraphiQLFetcher, type Fetcher } from "@graphiql/toolkit";

const http = new URL("/graphql", window.location.href);

const webSocket = new URL(http);
webSocket.protocol = http.protocol === "https:" ? "wss:" : "ws:";

/**
 * Queries and mutations by POST, subscriptions over `graphql-transport-ws`.
 * What is typed under "Headers" goes out as request headers, and as connection parameters of the WebSocket.
 */
export const fetcher: Fetcher = createGraphiQLFetcher({
  url: http.href,
  subscriptionUrl: webSocket.href,
  // Else it asks for multipart/mixed on each query, which is for @defer and @stream: the server has neither.
  enableIncrementalDelivery: false,
});
