/**
 * The live table. TanStack Virtual says which rows are seen, TanStack Table makes cells of those and of no others: so
 * a change costs the same with a hundred rows and with a hundred thousand.
 *
 * The scrollbar stands for the whole list. Where one gets to rows that are not loaded yet, their places are shown, and
 * pages are read one after the other until they are there: a cursor names a row, and no row can be named by its number.
 *
 * Rows that come in above what is being read do not push it away. By keyboard: arrows, Page Up and Down, Home and End
 * choose a row, Enter opens it.
 */
import { type SortingState, type Updater, useTable } from "@tanstack/react-table";
import { useVirtualizer, type Virtualizer } from "@tanstack/react-virtual";
import {
  type KeyboardEvent,
  memo,
  type ReactNode,
  type RefObject,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { Button } from "../ui/controls";
import { Icon } from "../ui/icon";
import { Empty, Loading } from "../ui/states";
import { useMedia } from "../ui/use-media";
import { columns, features, narrowColumns } from "./columns";
import type { Sort, SortColumn } from "./filters";
import type { Entry } from "./list";
import type { LiveReservations, Snapshot } from "./live";

const ROW = 36;
const NARROW_ROW = 60;
/** No list is made taller than so many rows before they are loaded: browsers end at some 17 million pixels. */
const TALLEST = 250_000;
const FLASH = 2_000;

interface Props {
  live: LiveReservations;
  sort: Sort;
  onSort: (sort: Sort) => void;
  onOpen: (reservationId: string) => void;
  isFiltered: boolean;
  onClear: () => void;
}

export function ReservationTable({ live, sort, onSort, onOpen, isFiltered, onClear }: Props) {
  const snapshot = useSyncExternalStore(live.subscribe, live.get);
  const { entries, hasMore, total } = snapshot;
  const isNarrow = useMedia("(max-width: 760px)");
  const height = isNarrow ? NARROW_ROW : ROW;
  const scroller = useRef<HTMLDivElement>(null);
  const virtualizer = useVirtualizer({
    // The scrollbar stands for the whole list, loaded or not.
    count: hasMore ? Math.max(entries.length + 1, Math.min(total, TALLEST)) : entries.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    overscan: 12,
  });
  useLayoutEffect(() => virtualizer.measure(), [virtualizer, height]);
  const items = virtualizer.getVirtualItems();
  const first = items[0]?.index ?? 0;
  const last = items.at(-1)?.index ?? -1;
  const seen = entries.slice(first, last + 1);

  const sorting = useMemo<SortingState>(() => [{ id: sort.column, desc: sort.descending }], [sort]);
  const onSortingChange = useCallback(
    (updater: Updater<SortingState>) => {
      const [to] = typeof updater === "function" ? updater(sorting) : updater;
      onSort(to ? { column: to.id as SortColumn, descending: to.desc } : { column: "updatedAt", descending: true });
    },
    [sorting, onSort],
  );
  const columnVisibility = useMemo(() => visibility(isNarrow), [isNarrow]);
  const table = useTable({
    features,
    columns,
    data: seen,
    getRowId: (entry) => entry.booking.id,
    state: { sorting, columnVisibility },
    onSortingChange,
    manualSorting: true,
    enableSortingRemoval: false,
  });

  // Another list is read from its top.
  useLayoutEffect(() => {
    scroller.current?.scrollTo(0, 0);
  }, [snapshot.list]);
  useHeldPlace(scroller, snapshot, height);
  useEffect(() => live.look(first, last), [snapshot, live, first, last]);

  const [active, setActive] = useState<string | null>(null);
  const onKeyDown = useKeys(snapshot, virtualizer, active, setActive, onOpen);
  const activeIsSeen = seen.some((entry) => entry.booking.id === active);

  if (entries.length === 0 && snapshot.phase !== "ready") {
    return <Loading lines={10} />;
  }
  if (entries.length === 0) {
    return (
      <Empty title={isFiltered ? "No reservation matches." : "No reservations yet."}>
        {isFiltered ? (
          <Button onPress={onClear}>Clear the filters</Button>
        ) : (
          <p>They appear here by themselves when the booking source sends its first webhook.</p>
        )}
      </Empty>
    );
  }
  return (
    <div
      ref={scroller}
      className="grid"
      role="grid"
      tabIndex={0}
      aria-label="Reservations"
      aria-rowcount={snapshot.total + 1}
      aria-busy={snapshot.phase === "loading"}
      aria-activedescendant={activeIsSeen && active ? `row-${active}` : undefined}
      onKeyDown={onKeyDown}
    >
      <div className="grid-head" role="rowgroup">
        {table.getHeaderGroups().map((group) => (
          <div key={group.id} className="grid-row" role="row" aria-rowindex={1}>
            {group.headers.map((header) => {
              const sorted = header.column.getIsSorted();
              return (
                <div
                  key={header.id}
                  role="columnheader"
                  className={`cell cell-${header.column.id}`}
                  aria-sort={sorted === "asc" ? "ascending" : sorted === "desc" ? "descending" : undefined}
                >
                  {header.column.getCanSort() ? (
                    <button type="button" className="sort" onClick={header.column.getToggleSortingHandler()}>
                      <table.FlexRender header={header} />
                      {sorted && <Icon name={sorted === "asc" ? "up" : "down"} />}
                    </button>
                  ) : (
                    <table.FlexRender header={header} />
                  )}
                </div>
              );
            })}
          </div>
        ))}
      </div>
      <div role="rowgroup" className="grid-body" style={{ height: virtualizer.getTotalSize() }}>
        <div role="presentation" className="grid-seen" style={{ transform: `translateY(${first * height}px)` }}>
          {table.getRowModel().rows.map((row, at) => {
            const entry = row.original;
            return (
              <div
                key={row.id}
                id={`row-${row.id}`}
                role="row"
                aria-rowindex={first + at + 2}
                aria-selected={row.id === active}
                className="grid-row grid-line"
                data-flash={flashOf(entry)}
                data-status={entry.booking.status}
                style={{ height }}
                onClick={() => {
                  setActive(row.id);
                  onOpen(entry.booking.reservationId);
                }}
              >
                <Cells entry={entry} isNarrow={isNarrow}>
                  {() =>
                    row.getVisibleCells().map((cell) => (
                      <div key={cell.id} role="gridcell" className={`cell cell-${cell.column.id}`}>
                        <table.FlexRender cell={cell} />
                      </div>
                    ))
                  }
                </Cells>
              </div>
            );
          })}
          <Awaited count={last - first + 1 - seen.length} height={height} />
        </div>
      </div>
    </div>
  );
}

/** Rows that are known to be there and are still on their way. */
function Awaited({ count, height }: { count: number; height: number }) {
  return Array.from({ length: count }, (_, at) => (
    <div key={at} role="presentation" className="grid-awaited" style={{ height }}>
      <div className="bone" />
    </div>
  ));
}

interface CellsProps {
  entry: Entry;
  isNarrow: boolean;
  children: () => ReactNode;
}

/** Rendered anew only when the row is another object: see list.ts. */
const Cells = memo(
  ({ children }: CellsProps) => children(),
  (before, after) => before.entry === after.entry && before.isNarrow === after.isNarrow,
);

function visibility(isNarrow: boolean): Record<string, boolean> {
  return Object.fromEntries(columns.map(({ id }) => [id ?? "", !isNarrow || narrowColumns.has(id ?? "")]));
}

/** An animation starts anew under another name; two are enough, by turns. */
function flashOf({ changedAt, entered }: Entry): string | undefined {
  if (changedAt === null || Date.now() - changedAt > FLASH) {
    return undefined;
  }
  const turn = Math.floor(changedAt / 50) % 2 === 0 ? "a" : "b";
  return `${entered ? "new" : "changed"}-${turn}`;
}

/** Keeps what is being read where it is when rows come and go above it. At the very top, the newest is shown. */
function useHeldPlace(scroller: RefObject<HTMLDivElement | null>, snapshot: Snapshot, height: number): void {
  const held = useRef<Entry[]>([]);
  const place = useRef(0);
  // As the last scroll event found it: to ask the element would have it laid out once more.
  const top = useRef(0);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) {
      return;
    }
    const { list, entries } = snapshot;
    if (top.current >= height) {
      const firstSeen = Math.floor(top.current / height);
      const at = held.current.findIndex((entry) => list.get(entry.booking.id) === entry);
      const entry = held.current[at];
      if (entry) {
        const moved = list.indexOf(entry.booking.id) - (place.current + at);
        if (moved !== 0) {
          top.current += moved * height;
          element.scrollTop = top.current;
        }
        hold(firstSeen + moved);
        return;
      }
      hold(firstSeen);
    } else {
      held.current = [];
    }
    function hold(from: number) {
      place.current = from;
      held.current = entries.slice(from, from + 20);
    }
  }, [scroller, snapshot, height]);
  useEffect(() => {
    const element = scroller.current;
    const onScroll = () => {
      if (element) {
        top.current = element.scrollTop;
        place.current = Math.floor(top.current / height);
        held.current = snapshot.entries.slice(place.current, place.current + 20);
      }
    };
    element?.addEventListener("scroll", onScroll, { passive: true });
    return () => element?.removeEventListener("scroll", onScroll);
  }, [scroller, snapshot, height]);
}

/** Keys go on from the chosen row; when that is out of sight, from what is seen. */
function useKeys(
  { entries, list }: Snapshot,
  virtualizer: Virtualizer<HTMLDivElement, Element>,
  active: string | null,
  setActive: (id: string | null) => void,
  onOpen: (reservationId: string) => void,
) {
  return (event: KeyboardEvent<HTMLDivElement>) => {
    if (event.target !== event.currentTarget) {
      return;
    }
    const { startIndex: top, endIndex: bottom } = virtualizer.range ?? { startIndex: 0, endIndex: 0 };
    const at = active === null ? -1 : list.indexOf(active);
    const isSeen = at >= top && at <= bottom;
    const page = Math.max(1, bottom - top - 2);
    const end = virtualizer.options.count - 1;
    const steps: Record<string, number> = {
      ArrowDown: isSeen ? at + 1 : top,
      ArrowUp: isSeen ? at - 1 : bottom,
      PageDown: (isSeen ? at : top) + page,
      PageUp: (isSeen ? at : top) - page,
      Home: 0,
      End: end,
    };
    const step = steps[event.key];
    if (step !== undefined) {
      event.preventDefault();
      const to = Math.min(end, Math.max(0, step));
      setActive(entries[to]?.booking.id ?? null);
      virtualizer.scrollToIndex(to);
    } else if (event.key === "Enter" && entries[at]) {
      event.preventDefault();
      onOpen(entries[at].booking.reservationId);
    }
  };
}
