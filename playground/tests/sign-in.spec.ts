/** Signing in with a token, where the server asks for one. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { Besty } from "./besty";
import { expect, expectAccessible, screenshot, test } from "./page";

const folder = process.env.BESTY_FOLDER ?? "";
const file = `${folder}/tokens-of-the-pages`;
let besty: Besty;

function create(role: string, name: string): string {
  const args = ["token", "create", "--role", role, "--name", name, "--tokens-file", file];
  return execFileSync(process.env.BESTY ?? "", args, { encoding: "utf8" }).trim();
}

async function statusWith(token: string): Promise<number> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  const answer = await fetch(`${besty.url}/graphql`, { method: "POST", headers, body: '{"query":"{ __typename }"}' });
  return answer.status;
}

let admin: string;

test.beforeAll(async () => {
  admin = create("admin", `admin-${process.pid}`);
  besty = await Besty.start({ TOKENS_FILE: file });
});
test.afterAll(() => besty.stop());

// A refused request is in the console, whatever the page makes of it.
test.use({ expected: [/401 \(Unauthorized\)/] });

test("in with a token, live, and out again", async ({ page }) => {
  await page.goto(besty.url);
  const field = page.getByLabel("Token");
  await field.fill("besty_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByText("the token is not valid")).toBeVisible();
  await expectAccessible(page);
  await screenshot(page, "sign-in");
  await field.fill(admin);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("link", { name: "Broadcasts" })).toBeVisible();
  await besty.apply({ id: "signed_in_1", property: "sign" });
  await expect(page.getByText("signed_in_1")).toBeVisible();
  await page.reload();
  await expect(page.getByText("signed_in_1")).toBeVisible();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(field).toBeVisible();
  expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
});

test("a token that is taken back ends the page", async ({ page }) => {
  const guest = create("viewer", `viewer-${process.pid}`);
  // The server reads the file by itself, within a second or so.
  await expect.poll(() => statusWith(guest)).toBe(200);
  await page.goto(besty.url);
  await page.getByLabel("Token").fill(guest);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("link", { name: "Broadcasts" })).toBeVisible();
  const kept = readFileSync(file, "utf8").split("\n").filter((line) => !line.startsWith(`viewer-${process.pid} `));
  writeFileSync(file, kept.join("\n"));
  await expect(page.getByLabel("Token")).toBeVisible({ timeout: 20_000 });
  await expect(page.getByText("Your token is not valid any more.")).toBeVisible();
});

test("GraphiQL asks for it too", async ({ page }) => {
  await page.goto(`${besty.url}/playground`);
  await page.getByLabel("Token").fill(admin);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page).toHaveURL(/\/playground/);
  await expect(page.getByRole("button", { name: /Execute query/ })).toBeVisible();
});
