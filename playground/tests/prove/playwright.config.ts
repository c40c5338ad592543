/** What takes minutes: run by tests/prove/pages.rs. Each test has a time limit of its own. */
import { defineConfig } from "@playwright/test";
import config from "../../playwright.config";

export default defineConfig({
  ...config,
  testDir: ".",
  testIgnore: [],
  outputDir: "../../node_modules/.results-prove",
});
