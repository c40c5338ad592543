/** GraphiQL runs what it is for, and its address says what is in it. */
import type { Page } from "@playwright/test";
import { Besty } from "./besty";
import { expect, expectAccessible, type KnownFault, screenshot, test } from "./page";

let besty: Besty;

test.beforeAll(async () => {
  besty = await Besty.start();
  await besty.apply({ id: "play_1", property: "play" });
});
test.afterAll(() => besty.stop());

/** GraphiQL's own, and not to be had otherwise by its properties or its style sheet. */
const known: readonly KnownFault[] = [
  // The button that closes a tab is inside the tab.
  { rule: "nested-interactive", within: ".graphiql-tab" },
  // Comments in Monaco's dark theme: GraphiQL builds on it without a way to say other colours (3.6 of 4.5 to 1).
  { rule: "color-contrast", within: ".monaco-editor" },
];

async function open(page: Page, query: string, variables = ""): Promise<void> {
  await page.goto(`${besty.url}/playground?${new URLSearchParams({ query, variables })}`);
  await expect(page.getByRole("button", { name: /Execute query/ })).toBeVisible();
  // The editors are made after the page is there.
  await expect(page.locator(".graphiql-query-editor .view-lines")).toContainText(query.slice(0, 5));
}

const answer = (page: Page) => page.locator(".graphiql-response .view-lines");

test("a query, from the address", async ({ page }) => {
  const query = "query Q($id: String!) {\n  reservation(reservationId: $id) {\n    propertyId\n    status\n  }\n}";
  await open(page, query, '{"id": "play_1"}');
  await page.getByRole("button", { name: /Execute query/ }).click();
  await expect(answer(page)).toContainText('"propertyId": "play"');
  expect(new URL(page.url()).searchParams.get("query")).toBe(query);
  expect(new URL(page.url()).searchParams.get("variables")).toBe('{"id": "play_1"}');
  await screenshot(page, "playground");
});

for (const transport of ["WebSocket", "SSE"]) {
  test(`a subscription over ${transport}`, async ({ page }) => {
    const property = `play_${transport}`;
    await open(
      page,
      "subscription S($filter: ReservationFilter) { reservationChanged(filter: $filter) { transition reservation { reservationId } } }",
      JSON.stringify({ filter: { propertyIds: [property] } }),
    );
    if (transport === "SSE") {
      await page.getByRole("button", { name: /Subscriptions over WebSocket/ }).click();
      await expect(page.getByRole("button", { name: /Subscriptions over SSE/ })).toBeVisible();
    }
    const subscribed = transport === "SSE" ? page.waitForEvent("request") : page.waitForEvent("websocket");
    await page.getByRole("button", { name: /Execute query/ }).click();
    await subscribed;
    // When it has subscribed can't be seen: a change until one comes.
    let n = 0;
    await expect(async () => {
      n += 1;
      await besty.apply({ id: `${property}_${n}`, property });
      await expect(answer(page)).toContainText(`"reservationId": "${property}_${n}"`, { timeout: 1_000 });
    }).toPass();
    await page.getByRole("button", { name: /Stop query/ }).click();
  });
}

test("the examples open in the editor, in light and in dark", async ({ page }) => {
  await page.emulateMedia({ colorScheme: "dark" });
  await open(page, "{ __typename }");
  const ground = page.locator(".graphiql-container");
  await expect(ground).toHaveCSS("background-color", "rgb(33, 42, 59)");
  await page.emulateMedia({ colorScheme: "light" });
  await expect(ground).toHaveCSS("background-color", "rgb(255, 255, 255)");
  await page.getByRole("button", { name: /Examples/ }).click();
  await page.getByRole("button", { name: "Figures" }).click();
  await page.getByRole("button", { name: /Execute query/ }).click();
  await expect(answer(page)).toContainText('"guestCount"');
});

for (const scheme of ["light", "dark"] as const) {
  test(`no serious fault of accessibility, ${scheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme: scheme });
    await open(page, '{\n  # One of them.\n  reservation(reservationId: "play_1") {\n    propertyId\n  }\n}');
    await page.getByRole("button", { name: /Execute query/ }).click();
    await expect(answer(page)).toContainText('"propertyId": "play"');
    await expectAccessible(page, known);
    for (const [panel, content] of [
      [/Examples/, "Follow reservations"],
      [/History/, "History"],
      [/Documentation/, "Root Types"],
    ] as const) {
      await page.getByRole("button", { name: panel }).first().click();
      await expect(page.locator(".graphiql-plugin")).toContainText(content);
      await expectAccessible(page, known);
    }
  });
}
