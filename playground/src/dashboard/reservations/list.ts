/**
 * The loaded part of a sorted list that changes while it is read: pages from the top down, and changes from a
 * subscription, put together.
 *
 * What it guarantees, given changes in commit order and pages read from the same data:
 * - a reservation is in the list once, and as the newest of what is known of it;
 * - a change that came while a page was on its way wins over that page, which may have been read before it;
 * - what sorts behind the last page is not kept: it comes with its page. What sorts level with the end of the last
 *   page is kept, as the page behind it may have left it out.
 */
import type {
  BookingFragment,
  FilterTransition,
  ReservationOrder,
  ReservationOrderField,
} from "../../generated/documents";

export type Booking = BookingFragment;

export interface Change {
  transition: FilterTransition;
  reservation: Booking;
}

export interface Page {
  nodes: readonly Booking[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

/** A row. A change makes a new one, so that a row that is the same object has not changed. */
export interface Entry {
  readonly booking: Booking;
  readonly key: Key;
  /** When it came in by a change, in milliseconds; null when it came with a page. */
  readonly changedAt: number | null;
  readonly entered: boolean;
}

type Key = string | number;
/** By id: the reservation as the latest change has it, null when that took it out. */
type Touched = Map<string, Entry | null>;

/** A page on its way. Changes are noted on it until it is merged or dropped. */
export interface Request {
  /** Null for the first page, which replaces what was loaded. */
  readonly after: string | null;
  readonly touched: Touched;
}

export class ReservationList {
  /** In order. Mutated in place: look at it right after a change and not later. */
  readonly entries: Entry[] = [];
  private readonly byId = new Map<string, Entry>();
  private readonly requests = new Set<Request>();
  private readonly keyOf: (booking: Booking) => Key;
  private readonly direction: 1 | -1;
  private endCursor: string | null = null;
  /** The key of the last row that a page brought. */
  private end: Key | undefined;
  private complete = false;

  constructor(order: ReservationOrder) {
    this.keyOf = keys[order.field ?? "CHECK_IN"];
    this.direction = order.direction === "DESC" ? -1 : 1;
  }

  /** Whether there are pages behind the last one. */
  get hasMore(): boolean {
    return !this.complete;
  }

  /** The row of a reservation, if it is loaded. */
  get(id: string): Entry | undefined {
    return this.byId.get(id);
  }

  /** Call it before the page is asked for. */
  request(from: "top" | "end"): Request {
    const request: Request = { after: from === "top" ? null : this.endCursor, touched: new Map() };
    this.requests.add(request);
    return request;
  }

  drop(request: Request): void {
    this.requests.delete(request);
  }

  merge(request: Request, page: Page): void {
    this.requests.delete(request);
    const entries = page.nodes.map((booking) => this.entry(booking, null, false));
    if (request.after === null) {
      this.entries.length = 0;
      this.byId.clear();
      this.end = undefined;
    }
    this.end = entries.at(-1)?.key ?? this.end;
    this.endCursor = page.pageInfo.endCursor ?? this.endCursor;
    this.complete = !page.pageInfo.hasNextPage;
    for (const entry of entries) {
      if (!request.touched.has(entry.booking.id)) {
        this.put(entry);
      }
    }
    for (const [id, entry] of request.touched) {
      this.settle(id, entry);
    }
  }

  apply({ transition, reservation }: Change, now: number): void {
    const entry = transition === "LEFT" ? null : this.entry(reservation, now, transition === "ENTERED");
    for (const { touched } of this.requests) {
      touched.set(reservation.id, entry);
    }
    this.settle(reservation.id, entry);
  }

  /** The row's place, -1 when it is not loaded. */
  indexOf(id: string): number {
    const entry = this.byId.get(id);
    return entry ? this.find(entry) : -1;
  }

  private entry(booking: Booking, changedAt: number | null, entered: boolean): Entry {
    return { booking, key: this.keyOf(booking), changedAt, entered };
  }

  private settle(id: string, entry: Entry | null): void {
    if (entry && (this.complete || this.end === undefined || this.compare(entry.key, this.end) <= 0)) {
      this.put(entry);
    } else {
      this.remove(id);
    }
  }

  private put(entry: Entry): void {
    const before = this.byId.get(entry.booking.id);
    this.byId.set(entry.booking.id, entry);
    if (before) {
      const place = this.find(before);
      if (before.key === entry.key) {
        this.entries[place] = entry;
        return;
      }
      this.entries.splice(place, 1);
    }
    this.entries.splice(this.placeBehind(entry.key), 0, entry);
  }

  private remove(id: string): void {
    const entry = this.byId.get(id);
    if (entry) {
      this.entries.splice(this.find(entry), 1);
      this.byId.delete(id);
    }
  }

  /** Where an entry is: among those with its key. */
  private find(entry: Entry): number {
    let place = this.search((key) => this.compare(key, entry.key) < 0);
    while (place < this.entries.length && this.entries[place] !== entry) {
      place += 1;
    }
    return place < this.entries.length ? place : -1;
  }

  /** Behind all that sort level with it: a page's own order is kept. */
  private placeBehind(key: Key): number {
    return this.search((other) => this.compare(other, key) <= 0);
  }

  /** How many entries are in front, given what is true for those and for no other. */
  private search(isInFront: (key: Key) => boolean): number {
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = this.entries[middle];
      if (entry && isInFront(entry.key)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  private compare(one: Key, other: Key): number {
    return one === other ? 0 : one < other ? -this.direction : this.direction;
  }
}

const keys: Record<ReservationOrderField, (booking: Booking) => Key> = {
  CHECK_IN: (booking) => booking.checkIn,
  CHECK_OUT: (booking) => booking.checkOut,
  CREATED_AT: (booking) => instant(booking.createdAt),
  UPDATED_AT: (booking) => instant(booking.updatedAt),
  // At most ten digits: exact as a number.
  TOTAL_AMOUNT: (booking) => Number(booking.total.amount),
};

/** `2026-11-22T14:38:40.5Z` with nine digits of a second, so that it sorts as text. */
function instant(text: string): string {
  const [whole = "", fraction = ""] = text.replace("Z", "").split(".");
  return `${whole}.${fraction.padEnd(9, "0")}`;
}
