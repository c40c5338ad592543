/**
 * What the address of the page says about the list: its filter, its order, and the reservation that is open.
 *
 * `?status=CONFIRMED,MODIFIED&property=a,b&guest=c&from=2026-11-01&to=2026-11-30&staying=2026-11-22&q=ada&sort=checkIn`
 */
import type { ReservationFilter, ReservationOrderField, ReservationStatus } from "../../generated/documents";
import { isDay } from "../ui/format";

export const statuses: readonly ReservationStatus[] = ["CONFIRMED", "MODIFIED", "CANCELLED"];

export interface Filters {
  status: readonly ReservationStatus[];
  property: string;
  guest: string;
  from: string;
  to: string;
  staying: string;
  q: string;
}

/** The columns that can be sorted by, as they stand in the address. */
export const sortable = {
  checkIn: "CHECK_IN",
  checkOut: "CHECK_OUT",
  total: "TOTAL_AMOUNT",
  createdAt: "CREATED_AT",
  updatedAt: "UPDATED_AT",
} as const satisfies Record<string, ReservationOrderField>;

export type SortColumn = keyof typeof sortable;

export interface Sort {
  column: SortColumn;
  descending: boolean;
}

export const none: Filters = { status: [], property: "", guest: "", from: "", to: "", staying: "", q: "" };

export function readFilters(address: URLSearchParams): Filters {
  const text = (name: string) => address.get(name) ?? "";
  const day = (name: string) => (isDay(text(name)) ? text(name) : "");
  return {
    status: statuses.filter((status) => text("status").split(",").includes(status)),
    property: text("property"),
    guest: text("guest"),
    from: day("from"),
    to: day("to"),
    staying: day("staying"),
    q: text("q"),
  };
}

/** Puts the filters into an address, and leaves the rest of it as it is. */
export function writeFilters(address: URLSearchParams, filters: Filters): URLSearchParams {
  const written = new URLSearchParams(address);
  for (const [name, value] of Object.entries({ ...filters, status: filters.status.join(",") })) {
    if (value) {
      written.set(name, value);
    } else {
      written.delete(name);
    }
  }
  return written;
}

/** Most recently changed first, unless the address says otherwise. */
export function readSort(address: URLSearchParams): Sort {
  const column = address.get("sort") ?? "";
  if (!(column in sortable)) {
    return { column: "updatedAt", descending: true };
  }
  return { column: column as SortColumn, descending: address.get("dir") === "desc" };
}

export function writeSort(address: URLSearchParams, { column, descending }: Sort): URLSearchParams {
  const written = new URLSearchParams(address);
  written.set("sort", column);
  written.set("dir", descending ? "desc" : "asc");
  if (column === "updatedAt" && descending) {
    written.delete("sort");
    written.delete("dir");
  }
  return written;
}

/** As the server takes it; an empty filter matches all. */
export function toFilter({ status, property, guest, from, to, staying, q }: Filters): ReservationFilter {
  const propertyIds = list(property);
  const guestIds = list(guest);
  return {
    ...(status.length > 0 && { statuses: [...status] }),
    ...(propertyIds.length > 0 && { propertyIds }),
    ...(guestIds.length > 0 && { guestIds }),
    ...((from || to) && { checkIn: { ...(from && { from }), ...(to && { to }) } }),
    ...(staying && { stayingOn: staying }),
    ...(q.trim() && { search: q.trim() }),
  };
}

export function isEmpty(filters: Filters): boolean {
  return Object.keys(toFilter(filters)).length === 0;
}

/** How many of the filters are set. */
export function countOf(filters: Filters): number {
  return Object.values(filters).filter((value) => value.length > 0).length;
}

function list(text: string): string[] {
  return text
    .split(/[\s,]+/)
    .map((one) => one.trim())
    .filter(Boolean);
}
