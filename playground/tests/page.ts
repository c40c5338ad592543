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

/** A fault in what others made, which can't be mended here. */
export interface KnownFault {
  /** axe's name of the rule. */
  rule: string;
  /** A selector: the fault is in such an element, or is one. */
  within: string;
}

export async function expectAccessible(page: Page, known: readonly KnownFault[] = []): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const faults: string[] = [];
  for (const { id, impact, nodes } of violations) {
    const within = known.filter(({ rule }) => rule === id).map((fault) => fault.within);
    for (const { html, target } of impact === "serious" || impact === "critical" ? nodes : []) {
      const element = page.locator(String(target[0])).first();
      const isKnown = await element.evaluate((at, all) => all.some((selector) => at.closest(selector)), within);
      if (!isKnown) {
        faults.push(`${id}: ${html}`);
      }
    }
  }
  expect(faults).toEqual([]);
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
