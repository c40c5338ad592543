/** The operation and its variables in the address of the page, so that a link shows what one sees. */

export interface Operation {
  query: string;
  variables: string;
}

/** What the address names, null when it names nothing. */
export function readOperation(): Operation | null {
  const address = new URLSearchParams(window.location.search);
  const query = address.get("query");
  return query ? { query, variables: address.get("variables") ?? "" } : null;
}

export function writeOperation({ query, variables }: Operation): void {
  const address = new URLSearchParams();
  if (query.trim()) {
    address.set("query", query);
  }
  if (variables.trim()) {
    address.set("variables", variables);
  }
  const text = address.toString();
  window.history.replaceState(null, "", text ? `?${text}` : window.location.pathname);
}
