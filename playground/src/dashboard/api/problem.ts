/** What went wrong, in a sentence for a person, and the code of a GraphQL error. */
import type { CombinedError } from "urql";

export function sentence(error: CombinedError): string {
  if (error.networkError) {
    return "The server can't be reached.";
  }
  return error.graphQLErrors.map((one) => one.message).join(" ") || error.message;
}

/** `extensions.code` of the first error that has one. */
export function codeOf(error: CombinedError): string | undefined {
  for (const { extensions } of error.graphQLErrors) {
    if (typeof extensions.code === "string") {
      return extensions.code;
    }
  }
  return undefined;
}
