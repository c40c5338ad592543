/**
 * The reservations that match a filter, in an order, as they are now: the list is read, then its changes are followed
 * from the `streamCursor` of that read, so none is left out. After a lost connection the stream goes on where it broke
 * off; if the server has no longer kept what lies between, the list is read anew.
 *
 * Changes are shown together, at most ten times a second, however many come.
 */
import type { Client, CombinedError } from "urql";
import {
  ReservationChangedDocument,
  type ReservationFilter,
  type ReservationOrder,
  ReservationsMoreDocument,
  ReservationsOpenDocument,
} from "../../generated/documents";
import type { ConnectionStore } from "../api/connection";
import { codeOf, sentence } from "../api/problem";
import { type Change, type Entry, ReservationList } from "./list";

const SHOW_EVERY = 100;
/** How long after a connection is back what comes in counts as missed, in milliseconds. */
const CATCHING_UP = 1_500;
const TRY_AGAIN = 2_000;
/** More rows than this are let go of as soon as their reader is back at the top. */
const KEPT = 2_000;
/** How many rows are loaded beyond those that are looked at. */
const AHEAD = 150;

export interface Snapshot {
  phase: "loading" | "ready" | "failed";
  /** Why it failed. */
  problem: string | null;
  list: ReservationList;
  entries: readonly Entry[];
  /** How many match in all. */
  total: number;
  hasMore: boolean;
  /** Changes since the page was opened: what figures are read anew by. */
  changes: number;
  /** After a lost connection: what had been missed. */
  caughtUp: { at: number; changes: number } | null;
}

type Watcher = (reservationId: string) => void;

export class LiveReservations {
  private list = new ReservationList({});
  private filter: ReservationFilter = {};
  private order: ReservationOrder = {};
  private snapshot: Snapshot;
  private readonly listeners = new Set<() => void>();
  private readonly watchers = new Set<Watcher>();
  private queue: Change[] = [];
  private total = 0;
  private changes = 0;
  private shownAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private unsubscribe: (() => void) | undefined;
  private loading = false;
  /** Rows are wanted up to this place. */
  private wanted = 0;
  /** Counts what is opened: an answer to an earlier opening is not for this one. */
  private opening = 0;
  private caughtUp: Snapshot["caughtUp"] = null;

  constructor(
    private readonly client: Client,
    private readonly connection: ConnectionStore,
  ) {
    this.snapshot = {
      phase: "loading",
      problem: null,
      list: this.list,
      entries: [],
      total: 0,
      hasMore: false,
      changes: 0,
      caughtUp: null,
    };
  }

  readonly get = (): Snapshot => this.snapshot;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Tells of each reservation that changes. */
  readonly watch = (watcher: Watcher): (() => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  /** Shows another set. What was shown stays until the new one is there. */
  open(filter: ReservationFilter, order: ReservationOrder): () => void {
    this.filter = filter;
    this.order = order;
    const noteReturn = this.connection.subscribe(() => this.noteReturn());
    void this.start();
    return () => {
      noteReturn();
      this.stop();
    };
  }

  /** Reads everything anew. */
  readonly again = (): void => {
    void this.start();
  };

  /**
   * Says which rows are looked at: page after page is read until they are there. Back at the top, what was loaded
   * far below is let go of.
   */
  readonly look = (first: number, last: number): void => {
    this.wanted = last + AHEAD;
    if (this.loading || this.snapshot.phase !== "ready") {
      return;
    }
    if (this.isShort()) {
      void this.load("end");
    } else if (first === 0 && this.list.entries.length > KEPT) {
      void this.load("top");
    }
  };

  private isShort(): boolean {
    return this.list.hasMore && this.list.entries.length <= this.wanted;
  }

  private stop(): void {
    this.opening += 1;
    this.loading = false;
    this.unsubscribe?.();
    this.unsubscribe = undefined;
    this.queue = [];
    clearTimeout(this.timer);
    clearTimeout(this.retry);
    this.timer = undefined;
  }

  private async start(): Promise<void> {
    this.stop();
    const opening = this.opening;
    if (this.snapshot.phase !== "failed") {
      this.publish({ phase: "loading" });
    }
    const { filter, order } = this;
    const answer = await this.client.query(ReservationsOpenDocument, { filter, orderBy: order }).toPromise();
    if (opening !== this.opening) {
      return;
    }
    const page = answer.data?.reservations;
    if (!page) {
      this.fail(answer.error);
      return;
    }
    this.list = new ReservationList(order);
    this.wanted = 0;
    this.list.merge(this.list.request("top"), page);
    this.total = page.totalCount;
    this.follow(page.streamCursor);
    this.publish({ phase: "ready", problem: null });
  }

  private follow(after: string): void {
    const { unsubscribe } = this.client
      .subscription(ReservationChangedDocument, { filter: this.filter, after })
      .subscribe(({ data, error }) => {
        if (error) {
          this.lost(error);
        } else if (data) {
          this.take(data.reservationChanged);
        }
      });
    this.unsubscribe = unsubscribe;
  }

  private take(change: Change): void {
    this.queue.push(change);
    if (this.caughtUp && Date.now() - this.caughtUp.at < CATCHING_UP) {
      this.caughtUp = { ...this.caughtUp, changes: this.caughtUp.changes + 1 };
    }
    this.timer ??= setTimeout(() => this.show(), Math.max(0, this.shownAt + SHOW_EVERY - Date.now()));
  }

  private show(): void {
    this.applyQueue();
    this.publish({});
  }

  private applyQueue(): void {
    const now = Date.now();
    for (const change of this.queue) {
      this.list.apply(change, now);
      this.total += change.transition === "ENTERED" ? 1 : change.transition === "LEFT" ? -1 : 0;
      this.changes += 1;
    }
    const changed = new Set(this.queue.map(({ reservation }) => reservation.reservationId));
    for (const watcher of this.watchers) {
      changed.forEach((reservationId) => watcher(reservationId));
    }
    this.queue = [];
    clearTimeout(this.timer);
    this.timer = undefined;
    this.shownAt = now;
  }

  private async load(from: "top" | "end"): Promise<void> {
    const { opening, filter, order, list } = this;
    this.loading = true;
    // What came before the request is part of its answer, and must not be taken for something newer.
    this.applyQueue();
    const request = list.request(from);
    const answer = await this.client
      .query(ReservationsMoreDocument, { filter, orderBy: order, after: request.after })
      .toPromise();
    if (opening !== this.opening) {
      return;
    }
    this.loading = false;
    const page = answer.data?.reservations;
    this.applyQueue();
    if (page) {
      list.merge(request, page);
      this.publish({});
      if (this.isShort() && !this.loading) {
        void this.load("end");
      }
    } else {
      list.drop(request);
      this.retry = setTimeout(() => this.publish({}), TRY_AGAIN);
    }
  }

  private noteReturn(): void {
    const now = this.connection.get();
    if (now.state === "live" && now.resumed) {
      this.caughtUp = { at: now.since, changes: 0 };
      this.publish({});
    } else if (now.state === "lost") {
      this.caughtUp = null;
    }
  }

  /** A subscription that ended with an error. One that is too old to go on starts anew, with the list. */
  private lost(error: CombinedError): void {
    const code = codeOf(error);
    if (code === "CURSOR_EXPIRED" || code === "CURSOR_INVALID") {
      void this.start();
    } else {
      this.fail(error);
    }
  }

  private fail(error: CombinedError | undefined): void {
    this.publish({ phase: "failed", problem: error ? sentence(error) : "The server gave no answer." });
    this.retry = setTimeout(this.again, TRY_AGAIN);
  }

  private publish(part: Partial<Snapshot>): void {
    const { list, total, changes, caughtUp } = this;
    const { entries, hasMore } = list;
    this.snapshot = { ...this.snapshot, list, entries, total, hasMore, changes, caughtUp, ...part };
    for (const listener of this.listeners) {
      listener();
    }
  }
}
