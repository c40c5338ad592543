/**
 * 100,000 reservations and 50 changes a second for MINUTES (5): no frame takes longer than 100 ms, and the page's
 * memory stays flat. Then, while changes go on, the list is scrolled through, and the middle of it jumped to.
 *
 * A frame is what lies between two `requestAnimationFrame`s, so whatever else keeps the machine busy counts too: the
 * load of the machine is told beside the figures, and what the longest frames were spent on.
 */
import { loadavg } from "node:os";
import type { CDPSession, Page } from "@playwright/test";
import { Besty } from "../besty";
import { expect, test } from "../page";

/** As many as tests/prove/pages.rs has put in. */
const RESERVATIONS = Number(process.env.RESERVATIONS ?? 100_000);
const MINUTES = Number(process.env.MINUTES ?? 5);
const CHANGES_A_SECOND = 50;
const LONGEST_FRAME = 100;
/** What is made once and kept, as compiled code is, is there after this time, in milliseconds. */
const WARM = 20_000;
/** How much more memory may be in use at the end than at the start. */
const GROWTH = 1.2;
const SLACK_MIB = 2;

let besty: Besty;

test.beforeAll(async () => {
  besty = await Besty.start();
});
test.afterAll(() => besty.stop());

/** Changes one reservation after the other until it is stopped. */
class Changes {
  sent = 0;
  private isOver = false;
  private readonly running: Promise<void>;

  constructor() {
    this.running = this.run();
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.running;
  }

  private async run(): Promise<void> {
    const start = Date.now();
    const under = new Set<Promise<void>>();
    while (!this.isOver) {
      if (this.sent < ((Date.now() - start) / 1_000) * CHANGES_A_SECOND) {
        this.sent += 1;
        const one = besty.apply(changed(1 + ((this.sent * 7_919) % RESERVATIONS), this.sent));
        under.add(one);
        void one.then(() => under.delete(one));
      } else {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    await Promise.all(under);
  }
}

function changed(n: number, turn: number) {
  const day = (ahead: number) => new Date(Date.now() + ahead * 86_400_000).toISOString().slice(0, 10);
  return {
    id: `res_${n}`,
    property: `property_${n % 100}`,
    guest: `guest_${n % 20_000}`,
    status: "modified" as const,
    checkIn: day(n % 150),
    checkOut: day((n % 150) + 3),
    total: 100 + (turn % 900),
  };
}

interface Frames {
  count: number;
  median: number;
  p99: number;
  longest: number;
  /** How many took longer than 50 ms. */
  slow: number;
  /** The longest, and the scripts in them, by the browser's own account (Long Animation Frames). */
  why: string[];
}

/** Measures from here on; `frames` tells of what has been since the last time it was asked. */
async function watchFrames(page: Page): Promise<() => Promise<Frames>> {
  await page.evaluate(() => {
    const watched = { frames: [] as number[], long: [] as { took: number; what: string }[] };
    (window as unknown as { watched: typeof watched }).watched = watched;
    let before = performance.now();
    const frame = (now: number) => {
      watched.frames.push(now - before);
      before = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const { scripts = [] } = entry as unknown as { scripts?: { invoker: string; duration: number }[] };
        const parts = scripts.map(({ invoker, duration }) => `${invoker} ${Math.round(duration)}`);
        watched.long.push({ took: entry.duration, what: `${Math.round(entry.duration)} ms (${parts.join(", ")})` });
      }
    }).observe({ type: "long-animation-frame" });
  });
  return () =>
    page.evaluate(() => {
      type Watched = { frames: number[]; long: { took: number; what: string }[] };
      const { watched } = window as unknown as { watched: Watched };
      const frames = watched.frames.splice(0).sort((one, other) => one - other);
      const long = watched.long.splice(0).sort((one, other) => other.took - one.took);
      const at = (share: number) => Math.round(frames[Math.floor(share * (frames.length - 1))] ?? 0);
      return {
        count: frames.length,
        median: at(0.5),
        p99: at(0.99),
        longest: at(1),
        slow: frames.filter((took) => took > 50).length,
        why: long.slice(0, 3).map(({ what }) => what),
      };
    });
}

async function heap(session: CDPSession): Promise<number> {
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  return usedSize / 2 ** 20;
}

function tell(what: string, figures: Frames): void {
  const load = loadavg()[0]?.toFixed(1);
  console.log(`${what}: ${JSON.stringify(figures)}, load of the machine ${load}`);
}

async function open(page: Page): Promise<void> {
  await page.goto(besty.url);
  await expect(page.getByTestId("total")).toHaveText(`${RESERVATIONS.toLocaleString("en-GB")} reservations`);
}

test("while reservations change, every frame is quick and the memory flat", async ({ page }) => {
  test.setTimeout(MINUTES * 60_000 + 120_000);
  await open(page);
  const session = await page.context().newCDPSession(page);
  const changes = new Changes();
  await page.waitForTimeout(WARM);
  const before = await heap(session);
  const frames = await watchFrames(page);
  // Collecting all garbage at once stops the page: nothing of it is in the frames.
  await page.waitForTimeout(MINUTES * 60_000);
  const during = await frames();
  const after = await heap(session);
  await expect(page.getByRole("status", { name: "Connection" })).toHaveText("Live");
  await changes.stop();
  tell(`${changes.sent} changes, ${MINUTES} min of them watched`, during);
  console.log(`heap before ${before.toFixed(1)} MiB, after ${after.toFixed(1)} MiB`);
  // All were shown: the last one is on top.
  const last = `res_${1 + ((changes.sent * 7_919) % RESERVATIONS)}`;
  await expect(page.locator(".grid-line", { hasText: last }).first()).toBeVisible();
  expect(during.count).toBeGreaterThan(MINUTES * 60 * 10);
  expect(during.longest).toBeLessThan(LONGEST_FRAME);
  expect(after).toBeLessThan(before * GROWTH + SLACK_MIB);
});

test("while reservations change, the list scrolls smoothly", async ({ page }) => {
  test.setTimeout(240_000);
  await open(page);
  const grid = page.getByRole("grid");
  const box = await grid.boundingBox();
  await page.mouse.move((box?.x ?? 0) + 300, (box?.y ?? 0) + 200);
  const changes = new Changes();
  const frames = await watchFrames(page);
  const end = Date.now() + 20_000;
  while (Date.now() < end) {
    await page.mouse.wheel(0, 400);
    await page.waitForTimeout(16);
  }
  const wheeled = await frames();
  const rows = Math.round((await grid.evaluate((element) => element.scrollTop)) / 36);
  tell(`${rows} rows by wheel in 20 s`, wheeled);

  // As the scrollbar does it: to the middle at once. What is not there yet is shown as such, and comes.
  await page.evaluate(() => new Promise(requestAnimationFrame));
  await frames();
  const began = Date.now();
  await grid.evaluate((element) => element.scrollTo(0, element.scrollHeight / 2));
  await expect(page.locator(".grid-awaited").first()).toBeVisible();
  await expect(page.locator(".grid-awaited")).toHaveCount(0, { timeout: 150_000 });
  const took = Date.now() - began;
  const jumped = await frames();
  tell(`to the middle in ${took} ms`, jumped);
  await changes.stop();
  const session = await page.context().newCDPSession(page);
  console.log(`heap with half of them loaded: ${(await heap(session)).toFixed(1)} MiB`);
  await grid.evaluate((element) => element.scrollTo(0, 0));
  await expect(page.getByText(/^\d{3} loaded, more as you scroll/)).toBeVisible();
  console.log(`and back at the top: ${(await heap(session)).toFixed(1)} MiB`);
  expect(wheeled.longest).toBeLessThan(LONGEST_FRAME);
  expect(jumped.longest).toBeLessThan(LONGEST_FRAME);
});
