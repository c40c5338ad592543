/** `schema.graphql` passes its rules, and the rules do find something. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ESLint } from "eslint";
import { project, root } from "./places.ts";

// Where the configuration looks for the schema.
process.chdir(root);

test("the schema passes its rules", async () => {
  const eslint = new ESLint({ cwd: root, overrideConfigFile: `${project}eslint.config.mjs` });
  const results = await eslint.lintFiles(["schema.graphql"]);
  const found = results.flatMap(({ messages }) => messages.map(({ line, message }) => `${line}: ${message}`));
  assert.deepEqual([results.length, found], [1, []]);
});

test("the rules find what is wrong", async () => {
  const eslint = new ESLint({ cwd: root, overrideConfigFile: `${project}eslint.config.mjs` });
  const sound = readFileSync(`${root}schema.graphql`, "utf8");
  const wrong = `${sound}\ntype rubbish {\n  get_it: [String]\n}\n`;
  const [result] = await eslint.lintText(wrong, { filePath: "schema.graphql" });
  const rules = new Set(result?.messages.map(({ ruleId }) => ruleId));
  for (const rule of ["require-description", "naming-convention", "strict-id-in-types"]) {
    assert.ok(rules.has(`@graphql-eslint/${rule}`), `${rule} is not among ${[...rules]}`);
  }
});
