/**
 * What every browser test asks of a page besides its own: nothing in the console but what is expected, no request to
 * another host, and no serious fault of accessibility where it looks.
 */
import { mkdirSync } from "node:fs";
import AxeBuilder from "@axe-core/playwright";
import { test as base, expect, type Page } from "@playwright/test";

export { expect };

interface Fixtures {
  /** What the console may say without failing the test. */
  expected: RegExp[];
}

export const test = base.extend<Fixtures>({
  expected: [[], { option: true }],
  page: async ({ page, expected }, use) => {
    const said: string[] = [];
    const hosts = new Set<string>();
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) {
        said.push(message.text());
      }
    });
    page.on("pageerror", (error) => said.push(String(error)));
    page.on("request", (request) => {
      const { protocol, hostname } = new URL(request.url());
      if (protocol.startsWith("http")) {
        hosts.add(hostname);
      }
    });
    await use(page);
    expect(said.filter((text) => !expected.some((pattern) => pattern.test(text)))).toEqual([]);
    expect([...hosts]).toEqual(["127.0.0.1"]);
  },
});

export async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  expect(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual([]);
}

/** Into SCREENSHOTS, when that is set. */
export async function screenshot(page: Page, name: string): Promise<void> {
  const folder = process.env.SCREENSHOTS;
  if (folder) {
    mkdirSync(folder, { recursive: true });
    // What has just changed is still lit: wait until it is not.
    await page.waitForFunction(() => document.getAnimations().every(({ playState }) => playState !== "running"));
    await page.screenshot({ path: `${folder}/${name}.png` });
  }
}
