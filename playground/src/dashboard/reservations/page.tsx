/** Reservations: figures on top, filters, and the live table; one reservation in a drawer. The address holds it all. */
import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { useClient } from "urql";
import { Link, useSearchParams } from "wouter";
import { connection } from "../api/client";
import { number, several, time } from "../ui/format";
import { Icon } from "../ui/icon";
import { Problem } from "../ui/states";
import { FilterBar } from "./filter-bar";
import { Figures, useFigures } from "./figures";
import { type Filters, isEmpty, none, readFilters, readSort, type Sort, sortable, toFilter, writeFilters, writeSort } from "./filters";
import { LiveReservations, type Snapshot } from "./live";
import { ReservationDrawer } from "./drawer";
import { SortChoice } from "./sort-choice";
import { ReservationTable } from "./table";

export function ReservationsPage() {
  const [address, setAddress] = useSearchParams();
  const text = writeFilters(new URLSearchParams(), readFilters(address)).toString();
  const filters = useMemo(() => readFilters(new URLSearchParams(text)), [text]);
  const { column, descending } = readSort(address);
  const sort = useMemo(() => ({ column, descending }), [column, descending]);
  const live = useLive(filters, sort);
  const figures = useFigures(filters, live);
  const open = address.get("reservation");

  const setFilters = useCallback(
    (changed: Filters) => setAddress((before) => writeFilters(before, changed), { replace: true }),
    [setAddress],
  );
  const setSort = useCallback(
    (changed: Sort) => setAddress((before) => writeSort(before, changed), { replace: true }),
    [setAddress],
  );
  const show = useCallback(
    (reservationId: string | null) =>
      setAddress((before) => {
        const after = new URLSearchParams(before);
        if (reservationId) {
          after.set("reservation", reservationId);
        } else {
          after.delete("reservation");
        }
        return after;
      }),
    [setAddress],
  );

  const onDay = useCallback((day: string) => setFilters({ ...filters, from: day, to: day }), [setFilters, filters]);
  const clear = useCallback(() => setFilters(none), [setFilters]);

  return (
    <div className="page page-fill">
      <div className="page-head">
        <h1>Reservations</h1>
        <Link className="button button-primary" href={`/broadcasts/new${text && `?${text}`}`}>
          <Icon name="message" />
          {figures.stats ? `Message ${several(figures.stats.guestCount, "guest")}` : "Message guests"}
        </Link>
      </div>
      <Figures {...figures} onDay={onDay} />
      <FilterBar filters={filters} onChange={setFilters} />
      <SortChoice sort={sort} onSort={setSort} />
      <Standing live={live} />
      <Failure live={live} />
      <ReservationTable
        live={live}
        sort={sort}
        onSort={setSort}
        onOpen={show}
        isFiltered={!isEmpty(filters)}
        onClear={clear}
      />
      <Foot live={live} />
      {open && <ReservationDrawer reservationId={open} live={live} onClose={() => show(null)} />}
    </div>
  );
}

/** The list as it stands. It changes often: only what shows it asks for it, so that nothing else is made anew. */
function useSnapshot(live: LiveReservations): Snapshot {
  return useSyncExternalStore(live.subscribe, live.get);
}

function useLive(filters: Filters, sort: Sort): LiveReservations {
  const client = useClient();
  const live = useMemo(() => new LiveReservations(client, connection), [client]);
  useEffect(
    () =>
      live.open(toFilter(filters), {
        field: sortable[sort.column],
        direction: sort.descending ? "DESC" : "ASC",
      }),
    [live, filters, sort],
  );
  return live;
}

function Failure({ live }: { live: LiveReservations }) {
  const { phase, problem } = useSnapshot(live);
  return phase === "failed" && <Problem onRetry={live.again}>{problem} Trying again.</Problem>;
}

function Foot({ live }: { live: LiveReservations }) {
  const { phase, total, entries, hasMore } = useSnapshot(live);
  return (
    <p className="foot" aria-live="off">
      <span data-testid="total">{phase === "loading" && total === 0 ? "\u00a0" : several(total, "reservation")}</span>
      {hasMore && <span>{number(entries.length)} loaded, more as you scroll</span>}
    </p>
  );
}

const TOLD_FOR = 10_000;

/** Says when the list is not live, and when it is again. */
function Standing({ live }: { live: LiveReservations }) {
  const { caughtUp } = useSnapshot(live);
  const now = useSyncExternalStore(connection.subscribe, connection.get);
  const [told, setTold] = useState(0);
  const at = caughtUp?.at;
  useEffect(() => {
    if (at) {
      const timer = setTimeout(() => setTold(at), TOLD_FOR);
      return () => clearTimeout(timer);
    }
  }, [at]);
  return (
    <div role="status" aria-label="Standing">
      {now.state === "lost" ? (
        <p className="notice notice-warn">
          Connection lost. This is the state of {time(now.since)}; it goes on by itself as soon as the server is back.
        </p>
      ) : (
        caughtUp &&
        caughtUp.at !== told && (
          <p className="notice notice-good">
            Back since {time(caughtUp.at)}, resumed where it broke off:{" "}
            {caughtUp.changes === 0 ? "nothing had changed" : `caught up with ${several(caughtUp.changes, "change")}`}.
          </p>
        )
      )}
    </div>
  );
}
