/** Relay's compiler takes documents as a Relay client writes them: connections, refetching, updaters. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { test } from "node:test";
import { promisify } from "node:util";
import { project } from "./places.ts";

test("relay-compiler accepts the documents", async () => {
  const made = `${project}generated/relay`;
  rmSync(made, { recursive: true, force: true });
  mkdirSync(made, { recursive: true });
  const compiler = `${project}node_modules/relay-compiler/cli.js`;
  // It fails with what it did not accept.
  await promisify(execFile)(process.execPath, [compiler, "relay/relay.config.json"], { cwd: project });
  assert.equal(readdirSync(made).length, 8, "an artifact for each document and each fragment");
});
