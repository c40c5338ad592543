/** What every client is promised, whichever transport it speaks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Server } from "./server.ts";

export interface Result {
  data?: Record<string, unknown> | null | undefined;
  errors?: readonly GraphQLErrorLike[] | undefined;
}

export interface GraphQLErrorLike {
  message: string;
  extensions?: Record<string, unknown> | undefined;
}

export interface Change {
  cursor: string;
  reservation: { reservationId: string };
}

export interface Sink {
  next(change: Change): void;
  /** The errors of the server, however the client brings them. */
  error(errors: readonly GraphQLErrorLike[]): void;
}

export interface IteratedResult {
  data?: { reservationChanged: Change } | null | undefined;
  errors?: readonly GraphQLErrorLike[] | undefined;
}

/** A client from npm, behind the few calls that the tests make. */
export interface Client {
  query(document: string, variables: Record<string, unknown>): Promise<Result>;
  /** Goes on after a lost connection, until it is ended by the function answered. */
  follow(document: string, variables: Record<string, unknown>, sink: Sink): () => void;
  /** The same as a loop, where the client has that. */
  iterate?(document: string, variables: Record<string, unknown>): AsyncIterableIterator<IteratedResult>;
  close(): void;
}

const list = `query List($filter: ReservationFilter) {
  reservations(filter: $filter) { streamCursor nodes { reservationId } }
}`;

const follow = `subscription Follow($filter: ReservationFilter, $after: String) {
  reservationChanged(filter: $filter, after: $after) { cursor reservation { reservationId } }
}`;

/** Collects what a subscription brings, and waits for it. */
class Watching {
  readonly seen: string[] = [];
  errors: readonly GraphQLErrorLike[] | undefined;
  private wake = () => {};

  readonly sink: Sink = {
    next: (change) => {
      this.seen.push(change.reservation.reservationId);
      this.wake();
    },
    error: (errors) => {
      this.errors = errors;
      this.wake();
    },
  };

  /** Until this many changes or an error have come. */
  async until(changes: number): Promise<void> {
    let isLate = false;
    const patience = setTimeout(() => {
      isLate = true;
      this.wake();
    }, 20_000);
    while (this.seen.length < changes && !this.errors) {
      assert.ok(!isLate, `${changes} changes were to come, or an error; there were ${this.seen}`);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    clearTimeout(patience);
  }
}

export function promises(name: string, connect: (server: Server) => Client): void {
  test(name, async (t) => {
    const server = await Server.start();
    const client = connect(server);
    const filter = { propertyIds: [name] };
    const ids = (from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, n) => `${name}_${from + n}`);
    let last = 0;
    const apply = async (count: number) => {
      for (const end = last + count; last < end; ) {
        await server.apply(++last, name);
      }
    };

    try {
      await t.test("answers a query", async () => {
        await apply(1);
        const { data, errors } = await client.query(list, { filter });
        assert.equal(errors, undefined);
        const { nodes } = data?.["reservations"] as { nodes: unknown[] };
        assert.deepEqual(nodes.map((node) => (node as { reservationId: string }).reservationId), ids(1, 1));
      });

      await t.test("brings each change, and after a kill goes on without a gap or a repeat", async () => {
        const { data } = await client.query(list, { filter });
        const { streamCursor } = data?.["reservations"] as { streamCursor: string };
        const watching = new Watching();
        const end = client.follow(follow, { filter, after: streamCursor }, watching.sink);
        await apply(3);
        await watching.until(3);
        for (let kills = 0; kills < 2; kills++) {
          await server.kill();
          await server.restart();
          // Nobody may be watching yet when these are made.
          await apply(5);
          await watching.until(last - 1);
        }
        assert.equal(watching.errors, undefined);
        assert.deepEqual(watching.seen, ids(2, last));
        end();
      });

      const iterate = client.iterate;
      if (iterate) {
        await t.test("brings each change in a loop too, also those that it gets to after a kill", async () => {
          const { data } = await client.query(list, { filter });
          const { streamCursor } = data?.["reservations"] as { streamCursor: string };
          const [before, seen] = [last, [] as string[]];
          await apply(3);
          for await (const { data, errors } of iterate(follow, { filter, after: streamCursor })) {
            assert.equal(errors, undefined);
            seen.push(data?.reservationChanged.reservation.reservationId ?? "none");
            if (seen.length === 1) {
              await server.kill();
              await server.restart();
              await apply(2);
            }
            if (seen.length === 5) {
              break;
            }
          }
          assert.deepEqual(seen, ids(before + 1, last));
        });
      }

      await t.test("is told of a cursor that is none", async () => {
        const watching = new Watching();
        const end = client.follow(follow, { filter, after: "none" }, watching.sink);
        await watching.until(1);
        assert.equal(watching.errors?.[0]?.extensions?.["code"], "CURSOR_INVALID");
        end();
      });

      await t.test("is told of a field that is none", async () => {
        const watching = new Watching();
        const end = client.follow("subscription { reservationChanged { nothing } }", {}, watching.sink);
        await watching.until(1);
        assert.match(watching.errors?.[0]?.message ?? "", /nothing/);
        end();
        const { errors } = await client.query("{ nothing }", {});
        assert.match(errors?.[0]?.message ?? "", /nothing/);
      });
    } finally {
      client.close();
      await server.kill();
    }
  });
}
