/**
 * Nothing that clients rely on goes without being listed: `schema.graphql` is compared with the one before
 * it, which is the last commit's, or the one before that when nothing has changed since. What breaks must
 * stand in `breaking-changes.txt`. Without a history to compare with, it says so and goes on.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { buildSchema, findBreakingChanges } from "graphql";
import { project, root } from "./places.ts";

const now = readFileSync(`${root}schema.graphql`, "utf8");

function committed(commit: string): string {
  // Relative to the folder, so that a repository around an export is not mistaken for this one.
  return execFileSync("git", ["-C", root, "show", `${commit}:./schema.graphql`], {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function before(): string {
  const last = committed("HEAD");
  return last === now ? committed("HEAD~") : last;
}

function breaks(from: string, to: string): string[] {
  return findBreakingChanges(buildSchema(from), buildSchema(to)).map(({ description }) => description);
}

function listed(): string[] {
  const lines = readFileSync(`${project}breaking-changes.txt`, "utf8").split("\n");
  return lines.map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"));
}

test("no breaking change goes unlisted", (t) => {
  let old: string;
  try {
    old = before();
  } catch (error) {
    const said = error instanceof Error && "stderr" in error ? String(error.stderr) || error.message : String(error);
    const why = said.trim().split("\n")[0];
    t.diagnostic(`NOT COMPARED: schema.graphql of the last commit is not to be had: ${why}`);
    return;
  }
  const known = new Set(listed());
  const unlisted = breaks(old, now).filter((description) => !known.has(description));
  assert.deepEqual(unlisted, [], "list them in tests/schema/breaking-changes.txt if they are meant");
});

test("a breaking change is found", () => {
  const broken = now.replace(/^ {2}totalCount: Int!$/m, "  totalCount: Int");
  assert.notEqual(broken, now);
  assert.equal(breaks(now, broken).length, 1);
  assert.deepEqual(breaks(now, `${now}\ntype New {\n  id: ID!\n}\n`), []);
});
