/** One reservation, its guest and what happened to it, read anew as it changes. */
import { useEffect } from "react";
import type { ReservationDetailsQuery } from "../../generated/documents";
import { ReservationDetailsDocument } from "../../generated/documents";
import { sentence } from "../api/problem";
import { Drawer } from "../ui/dialog";
import { fullDay, moment, money, nameOf, several } from "../ui/format";
import { Empty, Loading, Problem, Status } from "../ui/states";
import { useReading } from "../ui/use-reading";
import type { LiveReservations } from "./live";

type Details = NonNullable<ReservationDetailsQuery["reservation"]>;

const kinds = {
  CREATED: "First seen",
  UPDATED: "Changed",
  CANCELLED: "Cancelled",
  GUEST_UPDATED: "Guest data arrived",
} as const;

/** What the names of changed fields are here; the others follow from these, or say nothing to a person. */
const fields: Record<string, string> = {
  status: "status",
  checkIn: "check-in",
  checkOut: "check-out",
  guestCount: "guests",
  total: "total",
  propertyId: "property",
};

interface Props {
  reservationId: string;
  /** The list behind, which tells of changes. */
  live: LiveReservations;
  onClose: () => void;
}

export function ReservationDrawer({ reservationId, live, onClose }: Props) {
  const { data, error, again } = useReading(ReservationDetailsDocument, { reservationId }, 5_000);
  useEffect(() => live.watch((changed) => changed === reservationId && again()), [live, reservationId, again]);
  return (
    <Drawer title={reservationId} onClose={onClose}>
      {error && <Problem onRetry={again}>{sentence(error)}</Problem>}
      {!data && !error && <Loading />}
      {data && (data.reservation ? <Body {...data.reservation} /> : <Empty title="There is no such reservation." />)}
    </Drawer>
  );
}

function Body({ status, propertyId, checkIn, checkOut, nights, guestCount, total, guest, eventAt, ...rest }: Details) {
  return (
    <div className="details">
      <dl className="facts">
        <dt>Status</dt>
        <dd>
          <Status of={status} />
        </dd>
        <dt>Stay</dt>
        <dd>
          {fullDay(checkIn)} – {fullDay(checkOut)}
          <br />
          <span className="faint">{several(nights, "night")}</span>
        </dd>
        <dt>Property</dt>
        <dd className="mono">{propertyId}</dd>
        <dt>People</dt>
        <dd>{guestCount}</dd>
        <dt>Total</dt>
        <dd>{money(total)}</dd>
        <dt>Told by the source</dt>
        <dd>{eventAt ? moment(eventAt) : "not known"}</dd>
        <dt>First seen</dt>
        <dd>{moment(rest.createdAt)}</dd>
      </dl>
      <h3>Guest</h3>
      <dl className="facts">
        <dt>Name</dt>
        <dd>{nameOf(guest) ?? <Unknown />}</dd>
        <dt>Email</dt>
        <dd>{guest.email ?? <Unknown />}</dd>
        <dt>Phone</dt>
        <dd>{guest.phone ?? <Unknown />}</dd>
        <dt>Identifier</dt>
        <dd className="mono">{guest.guestId}</dd>
      </dl>
      <h3>History</h3>
      <History changes={rest.history} />
    </div>
  );
}

function Unknown() {
  return <span className="faint">not known</span>;
}

function History({ changes }: { changes: Details["history"] }) {
  if (changes.length === 0) {
    return <p className="faint">Nothing is kept of it: it was written before, or by something else.</p>;
  }
  return (
    <ol className="history">
      {changes.map(({ cursor, kind, changedFields, committedAt, reservation }) => {
        const names = changedFields.map((name) => fields[name]).filter((name) => name !== undefined);
        return (
          <li key={cursor}>
            <p>
              <strong>{kinds[kind]}</strong>
              {names.length > 0 && kind !== "CREATED" && <span className="faint"> {names.join(", ")}</span>}
            </p>
            <p className="faint">
              {fullDay(reservation.checkIn)} – {fullDay(reservation.checkOut)} · {money(reservation.total)}
            </p>
            <time dateTime={committedAt}>{moment(committedAt)}</time>
          </li>
        );
      })}
    </ol>
  );
}
