/** Numbers, money, days and moments as text, in the reader's language. Formatters are made once: it is slow. */

const numbers = new Intl.NumberFormat();
const monies = new Map<string, Intl.NumberFormat>();
const wholeMonies = new Map<string, Intl.NumberFormat>();
const days = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const daysWithYear = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
  year: "numeric",
  timeZone: "UTC",
});
const fullDays = new Intl.DateTimeFormat(undefined, {
  weekday: "short",
  day: "numeric",
  month: "short",
  year: "numeric",
  timeZone: "UTC",
});
const weekdays = new Intl.DateTimeFormat(undefined, { weekday: "short", timeZone: "UTC" });
const times = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const shortMoments = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "long" });

export function number(value: number): string {
  return numbers.format(value);
}

/** `1 guest`, `2 guests`, with the plural given or made with an s. */
export function several(count: number, one: string, more = `${one}s`): string {
  return `${number(count)} ${count === 1 ? one : more}`;
}

interface Money {
  amount: string;
  currencyCode: string;
}

/** The exact amount: a decimal text is never made a number. */
export function money({ amount, currencyCode }: Money): string {
  return moneyFormat(monies, currencyCode, 2).format(amount as Intl.StringNumericLiteral);
}

/** Rounded to whole units, for figures. */
export function roundMoney({ amount, currencyCode }: Money): string {
  return moneyFormat(wholeMonies, currencyCode, 0).format(amount as Intl.StringNumericLiteral);
}

function moneyFormat(made: Map<string, Intl.NumberFormat>, currency: string, digits: number): Intl.NumberFormat {
  let format = made.get(currency);
  if (!format) {
    const how = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    // The table holds up to ten characters: what is no currency code is not shown as one.
    format = /^[A-Z]{3}$/.test(currency)
      ? new Intl.NumberFormat(undefined, { ...how, style: "currency", currency, currencyDisplay: "narrowSymbol" })
      : new Intl.NumberFormat(undefined, how);
    made.set(currency, format);
  }
  return format;
}

export function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));
}

const thisYear = new Date().getFullYear().toString();

/** A calendar day, without its year when that is this one. */
export function day(date: string): string {
  return (date.startsWith(thisYear) ? days : daysWithYear).format(new Date(date));
}

export function fullDay(date: string): string {
  return fullDays.format(new Date(date));
}

export function weekday(date: string): string {
  return weekdays.format(new Date(date));
}

/** Today on the reader's calendar, and the days after it. */
export function dayFromToday(ahead: number): string {
  const now = new Date();
  return new Date(Date.UTC(now.getFullYear(), now.getMonth(), now.getDate() + ahead)).toISOString().slice(0, 10);
}

export function time(moment: number | string): string {
  return times.format(new Date(moment));
}

export function moment(at: string): string {
  return moments.format(new Date(at));
}

/** The time when it was today, else the day with it. */
export function shortMoment(at: string): string {
  const date = new Date(at);
  return date.toDateString() === new Date().toDateString() ? times.format(date) : shortMoments.format(date);
}

const units: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** `5 minutes ago`, `in 10 seconds`. */
export function ago(at: string, now = Date.now()): string {
  const seconds = Math.round((Date.parse(at) - now) / 1_000);
  const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return relative.format(Math.trunc(seconds / size), unit);
}

/** `2 min 10 s`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  const hours = Math.floor(whole / 3_600);
  const minutes = Math.floor((whole % 3_600) / 60);
  const rest = whole % 60;
  return [hours && `${hours} h`, minutes && `${minutes} min`, !hours && (rest || !minutes) && `${rest} s`]
    .filter(Boolean)
    .join(" ");
}

interface Named {
  guestId: string;
  firstName: string | null;
  lastName: string | null;
}

/** The guest's name, null until it is known. */
export function nameOf({ firstName, lastName }: Named): string | null {
  return [firstName, lastName].filter(Boolean).join(" ") || null;
}

export const statusText = {
  CONFIRMED: "Confirmed",
  MODIFIED: "Modified",
  CANCELLED: "Cancelled",
  QUEUED: "Queued",
  SENDING: "Sending",
  PAUSED: "Paused",
  SUSPENDED: "Suspended",
  COMPLETED: "Completed",
  PENDING: "Waiting",
  SENT: "Sent",
  FAILED: "Failed",
  UNCERTAIN: "Uncertain",
} as const;
