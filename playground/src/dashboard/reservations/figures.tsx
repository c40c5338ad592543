/**
 * The figures over what the filter selects, and its arrivals of the next two weeks.
 *
 * They are counted by the server, and counted anew as changes come, but never more than a small share of the time.
 */
import { memo, useEffect, useRef, useState } from "react";
import { type Client, useClient } from "urql";
import {
  ReservationArrivalsDocument,
  type ReservationArrivalsQueryVariables,
  type ReservationFilter,
  type ReservationFiguresQuery,
  ReservationFiguresDocument,
} from "../../generated/documents";
import { dayFromToday, number, roundMoney, several, statusText } from "../ui/format";
import { Arrivals } from "./arrivals";
import { type Filters, toFilter } from "./filters";
import type { LiveReservations } from "./live";

const DAYS = 14;
/** Between two counts, in milliseconds: at least this, and at least so many times what counting takes. */
const PAUSE = 1_000;
const SHARE = 15;

export interface Arrival {
  day: string;
  count: number;
}

export interface FiguresState {
  stats: ReservationFiguresQuery["reservationStats"];
  arrivals: readonly Arrival[];
}

export function useFigures(filters: Filters, live: LiveReservations): FiguresState {
  const client = useClient();
  const [figures, setFigures] = useState<FiguresState>({ stats: null, arrivals: [] });
  const counting = useRef<Counting>(undefined);
  useEffect(() => {
    const mine = new Counting(async () => {
      const counted = await count(client, filters);
      if (counted && counting.current === mine) {
        setFigures(counted);
      }
    });
    counting.current = mine;
    mine.ask();
    // Beside the rendering of the page, which has nothing new to show yet.
    let { changes } = live.get();
    const unsubscribe = live.subscribe(() => {
      const now = live.get().changes;
      if (now !== changes) {
        changes = now;
        mine.ask();
      }
    });
    return () => {
      unsubscribe();
      mine.stop();
    };
  }, [client, filters, live]);
  return figures;
}

/** Counts when asked, one at a time, and not again before a pause. */
class Counting {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isRunning = false;
  private isAsked = false;
  private notBefore = 0;

  constructor(private readonly count: () => Promise<void>) {}

  ask(): void {
    if (this.isRunning) {
      this.isAsked = true;
    } else {
      this.timer ??= setTimeout(() => void this.run(), Math.max(0, this.notBefore - Date.now()));
    }
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    this.isAsked = false;
    const began = Date.now();
    await this.count();
    const ended = Date.now();
    this.notBefore = ended + Math.max(PAUSE, SHARE * (ended - began));
    this.isRunning = false;
    this.timer = undefined;
    if (this.isAsked) {
      this.ask();
    }
  }
}

async function count(client: Client, filters: Filters): Promise<FiguresState | undefined> {
  const days = Array.from({ length: DAYS }, (_, ahead) => dayFromToday(ahead));
  const [stats, arrivals] = await Promise.all([
    client.query(ReservationFiguresDocument, { filter: toFilter(filters) }).toPromise(),
    client.query(ReservationArrivalsDocument, perDay(filters, days)).toPromise(),
  ]);
  const counts: Record<string, { count: number } | null> | undefined = arrivals.data;
  if (!stats.data || !counts) {
    return undefined;
  }
  return {
    stats: stats.data.reservationStats,
    arrivals: days.map((day, ahead) => ({ day, count: counts[`d${ahead}`]?.count ?? 0 })),
  };
}

/** The filter once for each day, as the check-in. Who has cancelled does not arrive, unless asked for. */
function perDay(filters: Filters, days: readonly string[]): ReservationArrivalsQueryVariables {
  const base = toFilter(filters);
  const statuses = base.statuses ?? ["CONFIRMED", "MODIFIED"];
  const variables: Record<string, ReservationFilter> = {};
  days.forEach((day, ahead) => {
    variables[`d${ahead}`] = { ...base, statuses, checkIn: { from: day, to: day } };
  });
  return variables as ReservationArrivalsQueryVariables;
}

interface Props extends FiguresState {
  onDay: (day: string) => void;
}

export const Figures = memo(({ stats, arrivals, onDay }: Props) => {
  const totals = [...(stats?.totals ?? [])].sort((one, other) => other.count - one.count);
  return (
    <section className="figures" aria-label="Figures">
      <div className="figure">
        <h2>Reservations</h2>
        <p className="figure-value">{stats ? number(stats.count) : "–"}</p>
        <p className="figure-note">{stats ? several(stats.guestCount, "guest") : " "}</p>
      </div>
      <div className="figure">
        <h2>Status</h2>
        <Split stats={stats} />
      </div>
      <div className="figure">
        <h2>Value</h2>
        <p className="figure-value">{totals[0] ? roundMoney(totals[0].total) : "–"}</p>
        <p className="figure-note">
          {totals
            .slice(1, 4)
            .map(({ total }) => roundMoney(total))
            .join(" · ") || " "}
        </p>
      </div>
      <div className="figure figure-wide">
        <h2>Arrivals, next two weeks</h2>
        <Arrivals arrivals={arrivals} onDay={onDay} />
      </div>
    </section>
  );
});

function Split({ stats }: { stats: FiguresState["stats"] }) {
  const byStatus = stats?.byStatus ?? [];
  return (
    <>
      <div className="split" aria-hidden="true">
        {byStatus
          .filter(({ count }) => count > 0)
          .map(({ status, count }) => (
            <span key={status} className={`split-part status-${status.toLowerCase()}`} style={{ flexGrow: count }} />
          ))}
      </div>
      <dl className="split-legend">
        {byStatus.map(({ status, count }) => (
          <div key={status}>
            <dt className={`status status-${status.toLowerCase()}`}>{statusText[status]}</dt>
            <dd>{number(count)}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}
