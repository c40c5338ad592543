/** What takes minutes: run by tests/prove/pages.rs. */
import { defineConfig } from "@playwright/test";
import config from "../../playwright.config";

export default defineConfig({ ...config, testDir: ".", testIgnore: [], timeout: 900_000 });
