/** The browser tests: one after the other, on Debian's Chromium. Run by tests/pages, which brings the server. */
import { defineConfig, devices } from "@playwright/test";

const results = "node_modules/.results";

export default defineConfig({
  testDir: "tests",
  testIgnore: "prove/**",
  outputDir: results,
  fullyParallel: false,
  workers: 1,
  retries: 0,
  forbidOnly: true,
  timeout: 60_000,
  expect: { timeout: 10_000 },
  reporter: "list",
  use: {
    ...devices["Desktop Chrome"],
    viewport: { width: 1360, height: 860 },
    locale: "en-GB",
    timezoneId: "UTC",
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu"],
    },
  },
});
