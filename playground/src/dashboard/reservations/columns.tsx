/** The columns of the table, widest need first to go on a narrow screen. */
import { columnVisibilityFeature, createColumnHelper, rowSortingFeature, tableFeatures } from "@tanstack/react-table";
import { day, money, nameOf, shortMoment } from "../ui/format";
import { Status } from "../ui/states";
import type { Entry } from "./list";

/** The server sorts: no row model of sorting is registered. */
export const features = tableFeatures({ columnVisibilityFeature, rowSortingFeature });
const helper = createColumnHelper<typeof features, Entry>();

export const columns = helper.columns([
  helper.accessor((entry) => entry.booking.reservationId, {
    id: "reservationId",
    header: "Reservation",
    enableSorting: false,
    cell: ({ getValue }) => <span className="mono">{getValue()}</span>,
  }),
  helper.accessor((entry) => entry.booking.status, {
    id: "status",
    header: "Status",
    enableSorting: false,
    cell: ({ getValue }) => <Status of={getValue()} />,
  }),
  helper.accessor((entry) => entry.booking.guest, {
    id: "guest",
    header: "Guest",
    enableSorting: false,
    cell: ({ getValue }) => <GuestCell guest={getValue()} />,
  }),
  helper.accessor((entry) => entry.booking.propertyId, {
    id: "property",
    header: "Property",
    enableSorting: false,
    cell: ({ getValue }) => <span className="mono">{getValue()}</span>,
  }),
  helper.accessor((entry) => entry.booking.checkIn, {
    id: "checkIn",
    header: "Check-in",
    cell: ({ getValue }) => day(getValue()),
  }),
  helper.accessor((entry) => entry.booking.checkOut, {
    id: "checkOut",
    header: "Check-out",
    cell: ({ getValue }) => day(getValue()),
  }),
  helper.accessor((entry) => entry.booking.nights, { id: "nights", header: "Nights", enableSorting: false }),
  helper.accessor((entry) => entry.booking.guestCount, { id: "guests", header: "Guests", enableSorting: false }),
  helper.accessor((entry) => entry.booking.total, {
    id: "total",
    header: "Total",
    cell: ({ getValue }) => money(getValue()),
  }),
  helper.accessor((entry) => entry.booking.updatedAt, {
    id: "updatedAt",
    header: "Changed",
    cell: ({ getValue }) => shortMoment(getValue()),
  }),
]);

/** What a phone shows, as two lines a row. */
export const narrowColumns: ReadonlySet<string> = new Set([
  "reservationId",
  "status",
  "guest",
  "checkIn",
  "checkOut",
  "total",
]);

function GuestCell({ guest }: { guest: Entry["booking"]["guest"] }) {
  const name = nameOf(guest);
  return name ? <span>{name}</span> : <span className="mono faint">{guest.guestId}</span>;
}
