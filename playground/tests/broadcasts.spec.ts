/** A broadcast from the first word to the last message, against the stand-in Guest API and its limit. */
import type { Page } from "@playwright/test";
import { Besty, Sandbox } from "./besty";
import { expect, expectAccessible, screenshot, test } from "./page";

const GUESTS = 60;
let besty: Besty;
let sandbox: Sandbox;

test.beforeAll(async () => {
  // Slow enough to be watched, paused and gone on with.
  sandbox = await Sandbox.start(12, 4);
  besty = await Besty.start({ GUEST_API_BASE_URL: sandbox.url });
  for (let n = 1; n <= GUESTS; n += 1) {
    await besty.apply({ id: `bc_${n}`, property: "bc", guest: `guest_${String(n).padStart(3, "0")}` });
  }
});
test.afterAll(async () => {
  await besty.stop();
  await sandbox.stop();
});

async function compose(page: Page, message: string): Promise<void> {
  await page.getByRole("textbox", { name: "Message" }).fill(message);
  await page.getByRole("button", { name: /Review and send to/ }).click();
}

function finished(page: Page): Promise<number> {
  const bar = page.getByRole("article", { name: "Broadcast" }).getByRole("progressbar");
  return bar.getAttribute("aria-valuenow").then(Number);
}

test("from compose to completion: the bar moves, pause stops it, resume goes on", async ({ page, context }) => {
  await sandbox.forget("guest_007");
  await page.goto(`${besty.url}/?property=bc&status=CONFIRMED`);
  await page.getByRole("link", { name: `Message ${GUESTS} guests` }).click();
  await expect(page).toHaveURL(/broadcasts\/new\?.*property=bc/);
  await expect(page.getByTestId("reach")).toHaveText(String(GUESTS));
  await page.getByRole("textbox", { name: "Message" }).fill("Check-in opens at 15:00. See you soon!");
  // What was typed survives a reload.
  await page.reload();
  await expect(page.getByRole("textbox", { name: "Message" })).toHaveValue("Check-in opens at 15:00. See you soon!");
  await expect(page.getByTestId("reach")).toHaveText(String(GUESTS));
  await expectAccessible(page);
  await screenshot(page, "compose");
  await page.getByRole("button", { name: `Review and send to ${GUESTS} guests` }).click();
  const question = page.getByRole("alertdialog", { name: `Write to ${GUESTS} guests?` });
  await expect(question).toContainText("of property bc");
  await question.getByRole("button", { name: `Send to ${GUESTS} guests` }).click();

  const article = page.getByRole("article", { name: "Broadcast" });
  await expect(article).toContainText("Sending");
  await expect.poll(() => finished(page)).toBeGreaterThan(0);
  await expect.poll(() => finished(page)).toBeGreaterThan(5);
  await expect(article).toContainText("Time left");
  await expectAccessible(page);
  await screenshot(page, "broadcast");

  await article.getByRole("button", { name: "Pause" }).click();
  await expect(article.getByRole("button", { name: "Resume" })).toBeVisible();
  await expect(article.getByRole("heading", { name: "Paused" })).toBeVisible();
  const atPause = await finished(page);
  expect(atPause).toBeLessThan(GUESTS);
  // A second tab shows the same, and so does a reload.
  const second = await context.newPage();
  await second.goto(page.url());
  await expect(second.getByRole("heading", { name: "Paused" })).toBeVisible();
  expect(await finished(second)).toBe(atPause);
  await page.reload();
  await expect(article.getByRole("heading", { name: "Paused" })).toBeVisible();
  expect(await finished(page)).toBe(atPause);

  await article.getByRole("button", { name: "Resume" }).click();
  await expect(article.getByRole("heading", { name: "Completed" })).toBeVisible({ timeout: 30_000 });
  expect(await finished(page)).toBe(GUESTS);
  await expect(second.getByRole("heading", { name: "Completed" })).toBeVisible();
  // Who did not get it, and why.
  const row = article.getByRole("row", { name: /guest_007/ });
  await expect(row).toContainText("Failed");
  await expect(row).toContainText("does not know this guest");

  await sandbox.remember();
  await article.getByRole("button", { name: "Try the failed again" }).click();
  await expect(article).toContainText("Nobody so far: no message failed.");
  await expect(article.getByRole("heading", { name: "Completed" })).toBeVisible();
  await second.close();
});

test("without a filter it asks twice, and the number is to be typed", async ({ page }) => {
  await page.goto(`${besty.url}/broadcasts/new`);
  await expect(page.getByTestId("reach")).not.toHaveText("…");
  const all = Number((await page.getByTestId("reach").innerText()).replaceAll(",", ""));
  expect(all).toBeGreaterThanOrEqual(GUESTS);
  await compose(page, "To everyone");
  await page.getByRole("alertdialog").getByRole("button", { name: "Go on" }).click();
  const question = page.getByRole("alertdialog", { name: /Really to all/ });
  const send = question.getByRole("button", { name: /Send to all/ });
  await expect(send).toBeDisabled();
  await question.getByRole("textbox").fill(String(all - 1));
  await expect(send).toBeDisabled();
  await question.getByRole("textbox").fill(String(all));
  await expect(send).toBeEnabled();
  await page.keyboard.press("Escape");
  await expect(question).toHaveCount(0);
});

test("when the number of guests changes under the question, nothing is sent before it is read", async ({ page }) => {
  await besty.apply({ id: "under_1", property: "under", guest: "guest_101" });
  await page.goto(`${besty.url}/broadcasts/new?property=under`);
  await expect(page.getByTestId("reach")).toHaveText("1");
  await compose(page, "For one");
  const question = page.getByRole("alertdialog");
  await expect(question).toContainText("1 guest");
  await besty.apply({ id: "under_2", property: "under", guest: "guest_102" });
  await question.getByRole("button", { name: "Send to 1 guest" }).click();
  await expect(question).toContainText("The number of guests has changed. Nothing was sent.");
  await question.getByRole("button", { name: "Send to 2 guests" }).click();
  await expect(page.getByRole("heading", { name: "Completed" })).toBeVisible();
});

test("a cancelled one says who did not get it", async ({ page }) => {
  await page.goto(`${besty.url}/broadcasts/new?property=bc`);
  await expect(page.getByTestId("reach")).toHaveText(String(GUESTS));
  await compose(page, "Called off");
  await page.getByRole("alertdialog").getByRole("button", { name: /Send to/ }).click();
  const article = page.getByRole("article", { name: "Broadcast" });
  await article.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Cancel the broadcast" }).click();
  await expect(article.getByRole("heading", { name: "Cancelled" })).toBeVisible();
  await expect(article).toContainText("Not sent");
  await expect(article.getByRole("row").nth(1)).toContainText("Cancelled");
  await expect(page.getByRole("navigation", { name: "Sent broadcasts" }).getByRole("link")).toHaveCount(3);
});
