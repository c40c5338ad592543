/**
 * The one GraphQL client of the page: queries and mutations by POST, subscriptions over `graphql-transport-ws`.
 *
 * A lost connection is taken up again for as long as the page is open, and every subscription with an `$after` goes
 * on where it broke off (../../resume.ts). There is no cache: what is shown was either just read or just sent.
 */
import { createClient as createWebSocketClient } from "graphql-ws";
import { Client, fetchExchange, subscriptionExchange } from "urql";
import { resuming } from "../../resume";
import { authorization } from "../../token";
import { ConnectionStore } from "./connection";
import { whenInDoubt } from "./doubt";
import { FORBIDDEN, fetchSignedIn, session } from "./session";

/** The longest pause between two attempts to connect, in milliseconds. */
const LONGEST_PAUSE = 3_000;
/** How long the server may be silent before the connection counts as lost, in milliseconds. */
const SILENCE = 10_000;
const ANSWER = 4_000;

export const connection = new ConnectionStore();

const http = new URL("/graphql", window.location.href);
const webSocket = new URL(http);
webSocket.protocol = http.protocol === "https:" ? "wss:" : "ws:";

let socket: WebSocket | undefined;
let silence: ReturnType<typeof setTimeout> | undefined;
/** When the server last said anything. */
let heard = Date.now();
/** Ends the pause before the next attempt to connect. */
let hurry = () => {};

/** Gives up on the connection when no answer to a ping comes. */
function awaitAnswer(): void {
  clearTimeout(silence);
  silence = setTimeout(() => live.terminate(), ANSWER);
}

const live = createWebSocketClient({
  url: webSocket.href,
  connectionParams: () => authorization(),
  // Open while the page is, watching or not: its state is shown.
  lazy: false,
  retryAttempts: Number.POSITIVE_INFINITY,
  // Also when a connection is refused, while the server is away.
  shouldRetry: () => true,
  retryWait: (retries) => {
    // Until somebody signs in, which begins the page anew.
    if (session.isRefused()) {
      return new Promise(() => undefined);
    }
    const pause = Math.min(LONGEST_PAUSE, 200 * 2 ** retries);
    return new Promise((resolve) => {
      hurry = resolve;
      setTimeout(resolve, pause * (0.5 + Math.random() / 2));
    });
  },
  keepAlive: SILENCE,
  on: {
    connected: (opened) => {
      socket = opened as WebSocket;
      connection.connected();
    },
    closed: (event) => {
      socket = undefined;
      clearTimeout(silence);
      connection.closed(heard);
      if ((event as CloseEvent).code === FORBIDDEN) {
        session.refused();
      }
    },
    message: () => {
      heard = Date.now();
      clearTimeout(silence);
    },
    // A network that is gone closes nothing: hence pings.
    ping: (received) => {
      if (!received) {
        awaitAnswer();
      }
    },
  },
});
whenInDoubt({
  gone: () => live.terminate(),
  ask: () => {
    if (socket?.readyState === WebSocket.OPEN) {
      socket.send('{"type":"ping"}');
      awaitAnswer();
    } else {
      hurry();
    }
  },
  back: () => hurry(),
});
const { subscribe } = resuming(live);

export const client = new Client({
  url: http.href,
  fetch: fetchSignedIn,
  preferGetMethod: false,
  exchanges: [
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: (request) => ({
        subscribe: (sink) => ({
          unsubscribe: subscribe({ query: request.query ?? "", variables: request.variables }, sink as never),
        }),
      }),
    }),
  ],
});
