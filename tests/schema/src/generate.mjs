/** Writes `generated/client.ts`: the types of the schema, and a typed document for each operation in `documents`. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { codegen } from "@graphql-codegen/core";
import * as typedDocuments from "@graphql-codegen/typed-document-node";
import * as types from "@graphql-codegen/typescript";
import * as operations from "@graphql-codegen/typescript-operations";
import { parse } from "graphql";

const here = new URL("..", import.meta.url);
const read = (path) => parse(readFileSync(new URL(path, here), "utf8"));
const scalars = { Date: "string", DateTime: "string", Decimal: "string" };
const output = await codegen({
  filename: "client.ts",
  schema: read("../../schema.graphql"),
  documents: readdirSync(new URL("documents/", here)).map((name) => ({
    location: name,
    document: read(`documents/${name}`),
  })),
  // A scalar that is not named here would be `any`; that is an error.
  config: { scalars, strictScalars: true, enumsAsTypes: true, useTypeImports: true, skipTypename: true },
  plugins: [{ types: {} }, { operations: {} }, { typedDocuments: {} }],
  pluginMap: { types, operations, typedDocuments },
});
mkdirSync(new URL("generated", here), { recursive: true });
writeFileSync(new URL("generated/client.ts", here), output);
