/**
 * The token that the pages call the server with. It is kept for as long as the tab is open, and in no other tab.
 */

const KEY = "besty-token";

/** Where the playground sends whoever has to sign in, and is come back to from. */
export const FROM_PLAYGROUND = "?from=playground";

export function token(): string | null {
  return sessionStorage.getItem(KEY);
}

export function keepToken(value: string): void {
  sessionStorage.setItem(KEY, value);
}

export function forgetToken(): void {
  sessionStorage.removeItem(KEY);
}

/** As a header, and as a parameter of a WebSocket connection. */
export function authorization(value: string | null = token()): Record<string, string> {
  return value ? { Authorization: `Bearer ${value}` } : {};
}

/** Whether the server takes this token, or, without one, anybody; else what it says. */
export async function isTaken(value: string | null): Promise<true | string> {
  const answer = await fetch("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json", ...authorization(value) },
    body: JSON.stringify({ query: "{ __typename }" }),
  });
  // What else may be wrong is not the token's fault, and the pages tell it.
  if (![401, 403, 429].includes(answer.status)) {
    return true;
  }
  const { errors } = (await answer.json()) as { errors?: { message: string }[] };
  return errors?.[0]?.message ?? `The server answered ${answer.status}.`;
}
