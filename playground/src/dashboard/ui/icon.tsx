/** The icons: one line each on a grid of 16, in the colour of the text around them. */

const paths = {
  reservations: "M2.5 4.5h11M2.5 8h11M2.5 11.5h7",
  broadcasts: "M2.5 6.5v3l2 .5 1 3h1.5l-.5-2.8 7 1.8v-8l-9 2z",
  operations: "M8 2.5v2M8 11.5v2M2.5 8h2M11.5 8h2M4.1 4.1l1.4 1.4M10.5 10.5l1.4 1.4M4.1 11.9l1.4-1.4M10.5 5.5l1.4-1.4M10 8a2 2 0 1 1-4 0 2 2 0 0 1 4 0",
  api: "M6 4 2.5 8 6 12M10 4l3.5 4L10 12",
  close: "M4 4l8 8M12 4l-8 8",
  search: "M11 11l2.8 2.8M12 7.2a4.8 4.8 0 1 1-9.6 0 4.8 4.8 0 0 1 9.6 0",
  up: "M8 12.5v-9M4.5 7 8 3.5 11.5 7",
  down: "M8 3.5v9M4.5 9 8 12.5 11.5 9",
  sun: "M8 2v1.3M8 12.7V14M2 8h1.3M12.7 8H14M3.8 3.8l.9.9M11.3 11.3l.9.9M3.8 12.2l.9-.9M11.3 4.7l.9-.9M10.6 8a2.6 2.6 0 1 1-5.2 0 2.6 2.6 0 0 1 5.2 0",
  moon: "M13 9.6A5.6 5.6 0 0 1 6.4 3a5.6 5.6 0 1 0 6.6 6.6",
  system: "M2.5 3.5h11v7h-11zM6 13.5h4M8 10.5v3",
  message: "M2.5 3.5h11v8h-6l-3 2.5v-2.5h-2z",
  filter: "M2.5 4h11M4.5 8h7M6.5 12h3",
  plus: "M8 3.5v9M3.5 8h9",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
