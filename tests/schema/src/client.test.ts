/** The client that is generated from the schema, against the server: what it says of types holds. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import {
  buildClientSchema,
  buildSchema,
  findBreakingChanges,
  findDangerousChanges,
  getIntrospectionQuery,
  type IntrospectionQuery,
  parse,
  print,
} from "graphql";
import { Server } from "../../clients/src/server.ts";
import {
  ChangesDocument,
  CountDocument,
  ReservationDocument,
  ReservationsDocument,
  type ReservationsQuery,
  type RowFragment,
} from "../generated/client.ts";
import { root } from "./places.ts";

/** A client as small as it can be: everything it knows of types comes with the document. */
async function run<Data, Variables>(
  server: Server,
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const answer = await fetch(server.url("http"), {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/graphql-response+json" },
    body: JSON.stringify({ query: print(document), variables }),
  });
  const { data, errors } = (await answer.json()) as { data: Data; errors?: unknown };
  assert.deepEqual([answer.status, errors], [200, undefined]);
  return data;
}

test("the generated client", async (t) => {
  const server = await Server.start();
  try {
    for (let n = 1; n <= 3; n++) {
      await server.apply(n, "typed");
    }
    const wanted = (row: RowFragment | undefined, id: string) => {
      assert.ok(row);
      const { id: global, ...rest } = row;
      assert.ok(global.length > 0);
      assert.deepEqual(rest, {
        reservationId: id,
        status: "CONFIRMED",
        checkIn: "2026-04-06",
        checkOut: "2026-04-13",
        nights: 7,
        total: { amount: "100.00", currencyCode: "EUR" },
        guest: { guestId: `guest_${id.split("_")[1]}`, firstName: "Ada" },
      });
    };
    let cursor: string | undefined;

    await t.test("walks pages", async () => {
      const seen: string[] = [];
      let after: string | null = null;
      for (let pages = 0; pages < 2; pages++) {
        const filter = { propertyIds: ["typed"], statuses: ["CONFIRMED" as const] };
        const { reservations }: ReservationsQuery = await run(server, ReservationsDocument, { first: 2, after, filter });
        assert.ok(reservations);
        assert.equal(reservations.totalCount, 3);
        for (const row of reservations.nodes) {
          wanted(row, row.reservationId);
          seen.push(row.reservationId);
        }
        assert.equal(reservations.pageInfo.hasNextPage, pages === 0);
        after = reservations.pageInfo.endCursor ?? null;
        cursor ??= reservations.streamCursor;
      }
      assert.deepEqual(seen.sort(), ["typed_1", "typed_2", "typed_3"]);
    });

    await t.test("reads one", async () => {
      const { reservation } = await run(server, ReservationDocument, { reservationId: "typed_2" });
      assert.ok(reservation);
      const { history, ...row } = reservation;
      wanted(row, "typed_2");
      assert.deepEqual(history.map(({ kind, transition }) => [kind, transition]), [["CREATED", "ENTERED"]]);
      const none = await run(server, ReservationDocument, { reservationId: "none" });
      assert.equal(none.reservation, null);
    });

    await t.test("is told what it can mend", async () => {
      const input = { message: "Hello", filter: { propertyIds: ["typed"] }, dryRun: true };
      const dry = await run(server, CountDocument, { input });
      assert.deepEqual(dry.broadcast, { recipientCount: 3, userErrors: [] });
      const refused = await run(server, CountDocument, { input: { ...input, expectedRecipients: 2 } });
      const [error] = refused.broadcast?.userErrors ?? [];
      assert.deepEqual([error?.code, error?.field], ["RECIPIENTS_CHANGED", ["input", "expectedRecipients"]]);
    });

    await t.test("introspects what the file says", async () => {
      const all = {
        specifiedByUrl: true,
        directiveIsRepeatable: true,
        schemaDescription: true,
        inputValueDeprecation: true,
        oneOf: true,
      };
      const document = parse(getIntrospectionQuery(all)) as TypedDocumentNode<IntrospectionQuery, object>;
      const told = buildClientSchema(await run(server, document, {}));
      const written = buildSchema(readFileSync(`${root}schema.graphql`, "utf8"));
      for (const [from, to] of [[told, written], [written, told]] as const) {
        const differences = [...findBreakingChanges(from, to), ...findDangerousChanges(from, to)];
        // The file has no directives: those are the specification's, of which each side has its own edition.
        assert.deepEqual(differences.filter(({ type }) => !type.startsWith("DIRECTIVE_")), []);
      }
    });

    await t.test("follows changes", async () => {
      await server.apply(4, "typed");
      const answer = await fetch(server.url("http"), {
        method: "POST",
        headers: { "content-type": "application/json", accept: "text/event-stream" },
        body: JSON.stringify({ query: print(ChangesDocument), variables: { after: cursor } }),
      });
      let text = "";
      for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        if (/^data: .*\n\n/m.test(text)) {
          break;
        }
      }
      const [, data] = /^data: (.*)$/m.exec(text) ?? [];
      const { reservationChanged } = JSON.parse(data!).data;
      assert.equal(reservationChanged.transition, "ENTERED");
      wanted(reservationChanged.reservation, "typed_4");
    });
  } finally {
    await server.kill();
  }
});
