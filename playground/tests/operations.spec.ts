/** Whether webhooks reach the server, and those that could not be applied. */
import { Besty, Sandbox } from "./besty";
import { expect, expectAccessible, screenshot, test } from "./page";

let besty: Besty;
let sandbox: Sandbox;

test.beforeAll(async () => {
  sandbox = await Sandbox.start(50, 10);
  const url = "http://127.0.0.1:9/webhooks";
  besty = await Besty.start({ GUEST_API_BASE_URL: sandbox.url, PUBLIC_WEBHOOK_URL: url });
});
test.afterAll(async () => {
  await besty.stop();
  await sandbox.stop();
});

test("the registration is shown, taken away and given back", async ({ page }) => {
  await besty.apply({ id: "ops_1", property: "ops" });
  await page.goto(`${besty.url}/operations`);
  const card = page.getByRole("region", { name: "Webhook registration" });
  await expect(card).toContainText("http://127.0.0.1:9/webhooks");
  await expect(card).toContainText("Registered", { timeout: 20_000 });
  await expect(card).toContainText(/Last event\s*(now|\d+ seconds? ago)/);
  await card.getByRole("button", { name: "Unregister" }).click();
  await expect(card).toContainText("Not registered");
  await card.getByRole("button", { name: "Register" }).click();
  await expect(card.getByRole("button", { name: "Unregister" })).toBeVisible();
});

test("a rejected webhook is shown with its reason and body, and tried again", async ({ page }) => {
  await besty.webhook({ event: "reservation.created", data: { reservationId: "rejected_1", propertyId: "ops" } });
  await page.goto(`${besty.url}/operations`);
  const card = page.getByRole("region", { name: "Rejected webhooks" });
  const item = card.getByRole("button", { name: /guestId: missing/ });
  await item.click();
  await expect(card).toContainText('"reservationId": "rejected_1"');
  await expectAccessible(page);
  await screenshot(page, "operations");
  await card.getByRole("button", { name: "Try again" }).click();
  await expect(card).toContainText("Still rejected: ");
});
