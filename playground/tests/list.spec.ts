/** The list against a server that is a sorted array: whatever comes in between what, both show the same. */
import { expect, test } from "@playwright/test";
import { type Booking, type Change, type Page, ReservationList } from "../src/dashboard/reservations/list";

const PAGE = 5;
const FIELDS = ["CHECK_IN", "UPDATED_AT", "TOTAL_AMOUNT"] as const;

/** A small generator of numbers, so that a failure can be had again. */
function randomness(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function booking(id: number, at: number, random: (below: number) => number): Booking {
  const text = String(id);
  return {
    id: text,
    reservationId: text,
    propertyId: "p",
    status: "CONFIRMED",
    // Few values: many are level.
    checkIn: `2026-12-0${1 + random(4)}`,
    checkOut: "2026-12-09",
    nights: 1,
    guestCount: 1,
    total: { amount: `${random(4) * 100}.00`, currencyCode: "EUR" },
    guest: { guestId: "g", firstName: null, lastName: null, email: null, phone: null },
    createdAt: "2026-01-01T00:00:00Z",
    updatedAt: new Date(Date.UTC(2026, 0, 1, 0, 0, Math.floor(at / 3))).toISOString(),
  };
}

for (const field of FIELDS) {
  for (const direction of ["ASC", "DESC"] as const) {
    test(`pages and changes in any interleaving end in the same list: ${field} ${direction}`, () => {
      for (let seed = 1; seed <= 60; seed += 1) {
        run(seed, field, direction);
      }
    });
  }
}

function run(seed: number, field: (typeof FIELDS)[number], direction: "ASC" | "DESC"): void {
  const random = randomness(seed);
  const sign = direction === "ASC" ? 1 : -1;
  const key = (row: Booking): string | number =>
    field === "CHECK_IN" ? row.checkIn : field === "UPDATED_AT" ? row.updatedAt : Number(row.total.amount);
  const compare = (one: Booking, other: Booking) =>
    key(one) === key(other)
      ? sign * (Number(one.id) - Number(other.id))
      : key(one) < key(other)
        ? -sign
        : sign;
  const server = new Map<string, Booking>();
  for (let id = 0; id < 30; id += 1) {
    server.set(String(id), booking(id, 0, random));
  }
  const sorted = () => [...server.values()].sort(compare);
  const cursors = new Map<string, Booking>();
  const read = (after: string | null): Page => {
    const start = after === null ? undefined : cursors.get(after);
    const rest = sorted().filter((row) => !start || compare(row, start) > 0);
    const nodes = rest.slice(0, PAGE);
    const last = nodes.at(-1);
    const endCursor = last ? `${cursors.size}` : null;
    if (last && endCursor) {
      cursors.set(endCursor, last);
    }
    return { nodes, pageInfo: { hasNextPage: rest.length > PAGE, endCursor } };
  };

  const list = new ReservationList({ field, direction });
  list.merge(list.request("top"), read(null));
  const stream: Change[] = [];
  let request: ReturnType<typeof list.request> | undefined;
  let page: Page | undefined;
  const deliver = () => {
    const change = stream.shift();
    if (change) {
      list.apply(change, 1);
    }
  };
  for (let step = 1; step < 200 || list.hasMore || stream.length > 0; step += 1) {
    const what = step < 200 ? random(6) : 2 + random(4);
    if (what < 2) {
      const id = random(40);
      const before = server.get(String(id));
      if (before && random(4) === 0) {
        server.delete(String(id));
        stream.push({ transition: "LEFT", reservation: before });
      } else {
        const row = booking(id, step, random);
        server.set(row.id, row);
        stream.push({ transition: before ? "STAYED" : "ENTERED", reservation: row });
      }
    } else if (what < 4) {
      deliver();
    } else if (!request) {
      if (stream.length === 0) {
        // Nothing is missing in the middle: what is shown is the head of the whole.
        const head = sorted().slice(0, list.entries.length);
        const keys = list.entries.map((entry) => (field === "UPDATED_AT" ? entry.booking.updatedAt : entry.key));
        expect(keys, `head, seed ${seed}`).toEqual(head.map(key));
      }
      // A page is asked for when all that came before was taken, as live.ts does; it is read at any time after.
      while (stream.length > 0) {
        deliver();
      }
      request = random(8) === 0 || !list.hasMore ? list.request("top") : list.request("end");
    } else if (!page) {
      page = read(request.after);
    } else {
      list.merge(request, page);
      request = undefined;
      page = undefined;
    }
    if (step > 100_000) {
      throw new Error("it does not end");
    }
    if (step >= 200 && request?.after === null && !page) {
      list.drop(request);
      request = undefined;
    }
  }
  const shown = list.entries.map(({ booking: row }) => row);
  const expected = sorted();
  expect(shown.map(key), `order, seed ${seed}`).toEqual(expected.map(key));
  const byId = (one: Booking, other: Booking) => Number(one.id) - Number(other.id);
  expect([...shown].sort(byId), `rows, seed ${seed}`).toEqual([...expected].sort(byId));
  expect(shown.map(({ id }) => list.indexOf(id))).toEqual(shown.map((_, at) => at));
}
