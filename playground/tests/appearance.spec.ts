/** How the page looks: in light, in dark and on a phone. First of all, on a database with nothing else in it. */
import { Besty } from "./besty";
import { expect, expectAccessible, screenshot, test } from "./page";

let besty: Besty;

test.beforeAll(async () => {
  besty = await Besty.start();
});
test.afterAll(() => besty.stop());

test("before the first webhook, the page says what will come", async ({ page }) => {
  await page.goto(besty.url);
  await expect(page.getByText("No reservations yet.")).toBeVisible();
  await expectAccessible(page);
});

test("light, dark and a phone: no serious fault of accessibility", async ({ page }) => {
  const names = ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Mary Jackson", "Edsger Dijkstra", "Radia Perlman"];
  for (let n = 0; n < 60; n += 1) {
    const day = (ahead: number) => new Date(Date.now() + ahead * 86_400_000).toISOString().slice(0, 10);
    const ahead = (n * 7) % 17;
    await besty.apply({
      id: `res_${String(n + 1).padStart(5, "0")}`,
      property: `property_${String((n * 5) % 9).padStart(3, "0")}`,
      guest: `guest_${String((n * 11) % 40).padStart(3, "0")}`,
      name: names[n % names.length],
      checkIn: day(ahead),
      checkOut: day(ahead + 1 + (n % 9)),
      total: 180 + ((n * 137) % 1_900),
      status: n % 9 === 4 ? "cancelled" : n % 4 === 1 ? "modified" : "confirmed",
    });
  }
  for (const scheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.goto(`${besty.url}/`);
    await expect(page.getByRole("row", { name: /res_00060/ })).toBeVisible();
    await expect(page.getByRole("button", { name: /arrival/ })).toHaveCount(14);
    await expectAccessible(page);
    await screenshot(page, `reservations-${scheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.goto(`${besty.url}/?reservation=res_00060`);
  await expect(page.getByRole("dialog")).toContainText("History");
  await expect(page.getByRole("dialog").getByRole("listitem")).toHaveCount(1);
  await screenshot(page, "reservation");
  await page.setViewportSize({ width: 390, height: 844 });
  await page.goto(`${besty.url}/`);
  await expect(page.getByRole("row", { name: /res_00060/ })).toBeVisible();
  await expectAccessible(page);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  await screenshot(page, "phone");
});
