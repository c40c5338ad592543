/** The page of reservations: live, filtered, and never behind. */
import { Besty } from "./besty";
import { expect, expectAccessible, test } from "./page";

let besty: Besty;

test.beforeAll(async () => {
  besty = await Besty.start();
});
test.afterAll(() => besty.stop());

test("before the first webhook, the page says what will come", async ({ page }) => {
  await page.goto(`${besty.url}/?property=nobody`);
  await expect(page.getByText("No reservation matches.")).toBeVisible();
  await expectAccessible(page);
});

test("a webhook makes a row appear in under a second, without a reload", async ({ page }) => {
  await besty.apply({ id: "quick_0", property: "quick" });
  await page.goto(`${besty.url}/?property=quick`);
  await expect(page.getByRole("row", { name: /quick_0/ })).toBeVisible();
  await expect(page.getByRole("status", { name: "Connection" })).toHaveText("Live");
  for (let n = 1; n <= 5; n += 1) {
    const began = Date.now();
    await besty.apply({ id: `quick_${n}`, property: "quick" });
    await page.getByRole("row", { name: new RegExp(`quick_${n}`) }).waitFor({ timeout: 1_000 });
    expect(Date.now() - began).toBeLessThan(1_000);
  }
  await expect(page.getByTestId("total")).toHaveText("6 reservations");
  // Most recently changed first.
  await expect(page.locator(".grid-line").first()).toContainText("quick_5");
});

test("a filtered row leaves by itself when its status changes, and comes back", async ({ page }) => {
  await besty.apply({ id: "leaves_1", property: "leaves" });
  await besty.apply({ id: "leaves_2", property: "leaves" });
  await page.goto(`${besty.url}/?property=leaves&status=CONFIRMED`);
  const row = page.getByRole("row", { name: /leaves_1/ });
  await expect(row).toBeVisible();
  await besty.apply({ id: "leaves_1", property: "leaves", status: "cancelled" });
  await expect(row).toHaveCount(0, { timeout: 1_000 });
  await expect(page.getByTestId("total")).toHaveText("1 reservation");
  await besty.apply({ id: "leaves_1", property: "leaves", status: "confirmed" });
  await expect(row).toBeVisible({ timeout: 1_000 });
  await expect(page.getByTestId("total")).toHaveText("2 reservations");
});

test.describe("the server away", () => {
  // Chromium itself says that connections were refused, and queries too while nobody listens; one that was under
  // way when the server was killed ends as the kill found it.
  test.use({ expected: [/WebSocket connection to|ERR_CONNECTION_(REFUSED|RESET|CLOSED)|ERR_EMPTY_RESPONSE/] });

  test("restarted under an open page: it catches up and misses nothing", async ({ page }) => {
    for (let n = 0; n < 5; n += 1) {
      await besty.apply({ id: `away_${n}`, property: "away" });
    }
    await page.goto(`${besty.url}/?property=away`);
    await expect(page.getByRole("row", { name: /away_4/ })).toBeVisible();
    const rounds = 2;
    for (let round = 0; round < rounds; round += 1) {
      await besty.kill();
      await expect(page.getByRole("status", { name: "Connection" })).toHaveText("Reconnecting");
      await expect(page.getByRole("status", { name: "Standing" })).toContainText("Connection lost");
      await besty.restart();
      // Some before the page is back, some after: it can't tell which.
      for (let n = 0; n < 20; n += 1) {
        await besty.apply({ id: `away_${round}_${n}`, property: "away" });
      }
      await besty.apply({ id: "away_0", property: "away", status: "cancelled", name: `Grace Round${round}` });
      await expect(page.getByTestId("total")).toHaveText(`${5 + 20 * (round + 1)} reservations`);
      await expect(page.getByRole("row", { name: `Round${round}` })).toContainText("Cancelled");
      await expect(page.getByRole("status", { name: "Connection" })).toHaveText("Live");
      await expect(page.getByRole("status", { name: "Standing" })).toContainText("resumed where it broke off");
    }
    const { reservations } = await besty.graphql<{ reservations: { nodes: { reservationId: string }[] } }>(
      "{reservations(first: 100, filter: {propertyIds: [\"away\"]}, orderBy: {field: UPDATED_AT, direction: DESC}) {nodes {reservationId}}}",
    );
    const newest = reservations.nodes.map(({ reservationId }) => reservationId);
    // The newest are on the screen, as the server has them.
    const ids = page.locator(".grid-line .cell-reservationId");
    await expect(ids.first()).toHaveText("away_0");
    const shown = await ids.allInnerTexts();
    expect(shown.length).toBeGreaterThan(10);
    expect(new Set(shown)).toEqual(new Set(newest.slice(0, shown.length)));
  });
});

test.describe("the network away", () => {
  test.use({ expected: [/WebSocket connection to|ERR_INTERNET_DISCONNECTED|ERR_CONNECTION_(REFUSED|RESET|CLOSED)|ERR_EMPTY_RESPONSE/] });

  test("gone and back: it says so at once, and goes on where it was", async ({ page, context }) => {
    await besty.apply({ id: "net_0", property: "net" });
    await page.goto(`${besty.url}/?property=net`);
    await expect(page.getByRole("row", { name: /net_0/ })).toBeVisible();
    await expect(page.getByRole("status", { name: "Connection" })).toHaveText("Live");
    await context.setOffline(true);
    await expect(page.getByRole("status", { name: "Connection" })).toHaveText("Reconnecting", { timeout: 1_000 });
    await expect(page.getByRole("status", { name: "Standing" })).toContainText("Connection lost");
    for (let n = 1; n <= 10; n += 1) {
      await besty.apply({ id: `net_${n}`, property: "net" });
    }
    await besty.apply({ id: "net_0", property: "net", status: "cancelled" });
    await expect(page.getByTestId("total")).toHaveText("1 reservation");
    await context.setOffline(false);
    await expect(page.getByTestId("total")).toHaveText("11 reservations");
    await expect(page.getByRole("row", { name: /net_0/ })).toContainText("Cancelled");
    await expect(page.getByRole("status", { name: "Connection" })).toHaveText("Live");
    await expect(page.getByRole("status", { name: "Standing" })).toContainText(/resumed where it broke off: caught up with \d+/);
  });

  test("frozen, as by a laptop's lid, while the server is restarted: awake it catches up", async ({ page, context }) => {
    await besty.apply({ id: "lid_0", property: "lid" });
    await page.goto(`${besty.url}/?property=lid`);
    await expect(page.getByRole("row", { name: /lid_0/ })).toBeVisible();
    await expect(page.getByRole("status", { name: "Connection" })).toHaveText("Live");
    const session = await context.newCDPSession(page);
    await session.send("Page.setWebLifecycleState", { state: "frozen" });
    await besty.kill();
    await besty.restart();
    for (let n = 1; n <= 10; n += 1) {
      await besty.apply({ id: `lid_${n}`, property: "lid" });
    }
    await besty.apply({ id: "lid_0", property: "lid", status: "cancelled" });
    await session.send("Page.setWebLifecycleState", { state: "active" });
    await expect(page.getByTestId("total")).toHaveText("11 reservations");
    await expect(page.getByRole("row", { name: /lid_0/ })).toContainText("Cancelled");
    await expect(page.getByRole("status", { name: "Connection" })).toHaveText("Live");
  });

  test("after a minute asleep it does not trust its connection", async ({ page }) => {
    await page.clock.install();
    await besty.apply({ id: "asleep_0", property: "asleep" });
    await page.goto(`${besty.url}/?property=asleep`);
    await expect(page.getByRole("row", { name: /asleep_0/ })).toBeVisible();
    await expect(page.getByRole("status", { name: "Connection" })).toHaveText("Live");
    await page.clock.fastForward(60_000);
    await expect(page.getByRole("status", { name: "Standing" })).toContainText("resumed where it broke off");
    await besty.apply({ id: "asleep_1", property: "asleep" });
    await expect(page.getByRole("row", { name: /asleep_1/ })).toBeVisible();
  });
});

test("filters, order and what is open are in the address", async ({ page }) => {
  await besty.apply({ id: "url_1", property: "url", checkIn: "2026-12-01", checkOut: "2026-12-03", total: 900 });
  await besty.apply({ id: "url_2", property: "url", checkIn: "2026-12-05", checkOut: "2026-12-09", total: 100 });
  await besty.apply({ id: "url_3", property: "url", checkIn: "2026-12-07", name: "Grace Hopper", total: 500 });
  await page.goto(`${besty.url}/?property=url`);
  const ids = page.locator(".grid-line .cell-reservationId");
  await expect(ids).toHaveText(["url_3", "url_2", "url_1"]);
  await page.getByRole("button", { name: "Total" }).click();
  await expect(page).toHaveURL(/sort=total/);
  await expect(page.getByRole("columnheader", { name: "Total" })).toHaveAttribute("aria-sort", /ascending|descending/);
  await page.getByRole("button", { name: "Check-in", exact: true }).click();
  await expect(page).toHaveURL(/sort=checkIn/);
  await page.getByLabel("Check-in from").fill("2026-12-05");
  await expect(ids).toHaveCount(2);
  await page.getByRole("searchbox", { name: "Search" }).fill("hopper");
  await expect(ids).toHaveText(["url_3"]);
  await page.reload();
  await expect(ids).toHaveText(["url_3"]);
  await expect(page.getByRole("searchbox", { name: "Search" })).toHaveValue("hopper");
  // By keyboard alone: to the row, into the drawer, and out of it.
  await page.getByRole("grid").focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  const drawer = page.getByRole("dialog", { name: "url_3" });
  await expect(drawer).toContainText("Grace Hopper");
  await expect(drawer).toContainText("First seen");
  await expect(page).toHaveURL(/reservation=url_3/);
  await besty.apply({ id: "url_3", property: "url", checkIn: "2026-12-07", status: "modified", name: "Grace Hopper" });
  await expect(drawer.getByRole("listitem")).toHaveCount(2);
  await expectAccessible(page);
  await page.keyboard.press("Escape");
  await expect(drawer).toHaveCount(0);
});

test("pages are loaded as one scrolls, and what is read stays in place", async ({ page }) => {
  const many = 450;
  for (let n = 0; n < many; n += 1) {
    await besty.apply({ id: `many_${String(n).padStart(3, "0")}`, property: "many" });
  }
  await page.goto(`${besty.url}/?property=many`);
  const grid = page.getByRole("grid");
  await expect(grid).toHaveAttribute("aria-rowcount", String(many + 1));
  // Rows are made for what is seen, not for what is loaded.
  expect(await page.locator(".grid-line").count()).toBeLessThan(60);
  await grid.evaluate((element) => element.scrollTo(0, 36 * 100));
  const read = page.getByRole("row", { name: /many_349/ });
  await expect(read).toBeVisible();
  const before = (await read.boundingBox())?.y;
  for (let n = 0; n < 10; n += 1) {
    await besty.apply({ id: `many_new_${n}`, property: "many" });
  }
  await expect(page.getByTestId("total")).toHaveText(`${many + 10} reservations`);
  await expect.poll(async () => (await read.boundingBox())?.y).toBe(before);
  // The scrollbar stands for the whole list: to its end at once, past what was never loaded.
  await page.reload();
  await expect(page.getByText("200 loaded, more as you scroll")).toBeVisible();
  await grid.evaluate((element) => element.scrollTo(0, element.scrollHeight));
  await expect(page.getByRole("row", { name: /many_000/ })).toBeVisible();
  expect(await grid.evaluate((element) => element.scrollHeight)).toBe(36 * (many + 10) + 33);
  await grid.focus();
  await page.keyboard.press("Home");
  await expect(page.getByRole("row", { name: /many_new_9/ })).toBeVisible();
  await page.keyboard.press("End");
  await expect(page.getByRole("row", { name: /many_000/ })).toBeVisible();
  // What is out of sight is not gone on from.
  await grid.evaluate((element) => element.scrollTo(0, 36 * 200));
  await expect(page.getByRole("row", { name: /many_259/ })).toBeVisible();
  await page.keyboard.press("ArrowDown");
  await expect(page.getByRole("row", { selected: true })).toContainText("many_259");
});

test("on a phone the order is chosen too", async ({ page }) => {
  await besty.apply({ id: "phone_1", property: "phone", total: 900 });
  await besty.apply({ id: "phone_2", property: "phone", total: 100 });
  await besty.apply({ id: "phone_3", property: "phone", total: 500 });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.goto(`${besty.url}/?property=phone`);
  const ids = page.locator(".grid-line .cell-reservationId");
  await expect(ids).toHaveText(["phone_3", "phone_2", "phone_1"]);
  await page.getByLabel("Sort by").selectOption("Total");
  await expect(page).toHaveURL(/sort=total&dir=desc/);
  await expect(ids).toHaveText(["phone_1", "phone_3", "phone_2"]);
  await page.getByRole("button", { name: "Change to ascending" }).click();
  await expect(ids).toHaveText(["phone_2", "phone_3", "phone_1"]);
});
