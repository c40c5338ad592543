/** Whether the server lets us in: it does until it says no, and then again once somebody has signed in. */
import { authorization, forgetToken, token } from "../../token";

/** How the server closes a WebSocket whose token is not good, or is so no longer. */
export const FORBIDDEN = 4403;

let isRefused = false;
const listeners = new Set<() => void>();

export const session = {
  isRefused: (): boolean => isRefused,
  subscribe: (listener: () => void): (() => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  /** The server said no. */
  refused(): void {
    isRefused = true;
    for (const listener of listeners) {
      listener();
    }
  },
};

export const isSignedIn = (): boolean => token() !== null;

/** Nothing that was read with the token stays on the page. */
export function signOut(): void {
  forgetToken();
  window.location.assign("/");
}

/** `fetch` with the token. */
export const fetchSignedIn: typeof fetch = async (input, init) => {
  const headers = new Headers(init?.headers);
  for (const [name, value] of Object.entries(authorization())) {
    headers.set(name, value);
  }
  const answer = await fetch(input, { ...init, headers });
  if (answer.status === 401) {
    session.refused();
  }
  return answer;
};
