/** What takes minutes: run by tests/prove/pages.rs. */
import { defineConfig } from "@playwright/test";
import config from "../../playwright.config";

export default defineConfig({
  ...config,
  testDir: ".",
  testIgnore: [],
  outputDir: "../../node_modules/.results-prove",
  timeout: 900_000,
});
