/**
 * How the playground reaches the server: queries and mutations by POST, subscriptions over a WebSocket
 * (`graphql-transport-ws`) or an event stream (GraphQL over SSE), as chosen. Both go on after a lost connection.
 */
import { createGraphiQLFetcher, type Fetcher } from "@graphiql/toolkit";
import { createClient as createSseClient } from "graphql-sse";
import { createClient as createWebSocketClient } from "graphql-ws";
import { resuming } from "../resume";
import { authorization } from "../token";

export const transports = ["WebSocket", "SSE"] as const;
export type Transport = (typeof transports)[number];

const http = new URL("/graphql", window.location.href);

const webSocket = new URL(http);
webSocket.protocol = http.protocol === "https:" ? "wss:" : "ws:";

type Headers = Record<string, string> | undefined;
type SubscriptionClient = NonNullable<Parameters<typeof createGraphiQLFetcher>[0]["wsClient"]>;

/** Connects when something is subscribed to, and not before. */
function subscriptionClient(transport: Transport, headers: Headers): SubscriptionClient {
  if (transport === "SSE") {
    const client = createSseClient({ url: http.href, headers, retryAttempts: Number.POSITIVE_INFINITY });
    return resuming(client) as unknown as SubscriptionClient;
  }
  const client = createWebSocketClient({
    url: webSocket.href,
    connectionParams: headers,
    // Also when a connection is refused, while the server is away.
    shouldRetry: () => true,
  });
  return resuming(client);
}

/**
 * What is typed under "Headers" goes out as request headers, and as connection parameters of the WebSocket; so does the
 * token that was signed in with, unless another is typed there.
 */
export function fetcherOver(transport: () => Transport): Fetcher {
  return (params, given) => {
    const options = { ...given, headers: { ...authorization(), ...given?.headers } };
    const fetch = createGraphiQLFetcher({
      url: http.href,
      wsClient: subscriptionClient(transport(), options.headers),
      // Else it asks for multipart/mixed on each query, which is for @defer and @stream: the server has neither.
      enableIncrementalDelivery: false,
    });
    return fetch(params, options);
  };
}
