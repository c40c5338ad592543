/** Apollo's automatic persisted queries: the hash by GET, and the document once, when it is not known. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { ApolloClient, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { Server } from "./server.ts";

test("apollo's persisted queries", async () => {
  const server = await Server.start();
  try {
    const asked: string[] = [];
    const client = new ApolloClient({
      link: new PersistedQueryLink({
        sha256: (text) => createHash("sha256").update(text).digest("hex"),
        useGETForHashedQueries: true,
      }).concat(
        new HttpLink({
          uri: server.url("http"),
          fetch: (url, options) => {
            const text = `${url}${options?.body ?? ""}`;
            asked.push(`${options?.method} ${/totalCount/.test(text) ? "document" : "hash"}`);
            return fetch(url, options);
          },
        }),
      ),
      cache: new InMemoryCache(),
    });
    const query = gql('query Count { reservations(filter: { propertyIds: ["none"] }) { totalCount } }');
    for (let n = 0; n < 2; n++) {
      const { data } = await client.query({ query, fetchPolicy: "no-cache" });
      assert.deepEqual(data, { reservations: { __typename: "ReservationConnection", totalCount: 0 } });
    }
    assert.deepEqual(asked, ["GET hash", "POST document", "GET hash"]);
    client.stop();
  } finally {
    await server.kill();
  }
});
