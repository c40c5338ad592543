/** GraphQL over HTTP to the letter: every audit of the package graphql-http, the optional ones too. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { serverAudits } from "graphql-http";
import { Server } from "./server.ts";

test("graphql-http", async (t) => {
  const server = await Server.start();
  try {
    const audits = serverAudits({ url: server.url("http") });
    assert.equal(audits.length, 61);
    for (const { id, name, fn } of audits) {
      await t.test(`${id} ${name}`, async () => {
        const result = await fn();
        assert.equal(result.status, "ok", "reason" in result ? result.reason : undefined);
      });
    }
  } finally {
    await server.kill();
  }
});
