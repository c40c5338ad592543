/**
 * 100,000 reservations, scrolled through from the newest to the oldest, then 50 changes a second for MINUTES (5):
 * no frame takes longer than 100 ms, and the page's memory stays flat.
 */
import type { CDPSession, Page } from "@playwright/test";
import { Besty } from "../besty";
import { expect, test } from "../page";

const RESERVATIONS = Number(process.env.RESERVATIONS ?? 100_000);
const MINUTES = Number(process.env.MINUTES ?? 5);
const CHANGES_A_SECOND = 50;
const SENDERS = 32;
const LONGEST_FRAME = 100;

let besty: Besty;

test.beforeAll(async () => {
  test.setTimeout(600_000);
  besty = await Besty.start();
  let next = 0;
  const send = async () => {
    while (next < RESERVATIONS) {
      next += 1;
      await besty.apply(booking(next));
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, send));
});
test.afterAll(() => besty.stop());

function booking(n: number) {
  const day = (ahead: number) => new Date(Date.now() + ahead * 86_400_000).toISOString().slice(0, 10);
  return {
    id: `res_${n}`,
    property: `property_${n % 100}`,
    guest: `guest_${n % 20_000}`,
    checkIn: day(n % 150),
    checkOut: day((n % 150) + 3),
  };
}

interface Frames {
  count: number;
  longest: number;
  /** How many took longer than 50 ms. */
  slow: number;
}

/** Starts measuring anew; `frames` tells of what has been since. */
async function watchFrames(page: Page): Promise<() => Promise<Frames>> {
  await page.evaluate(() => {
    const state = { count: 0, longest: 0, slow: 0 };
    const world = window as unknown as { watched: typeof state | undefined };
    const isFirst = world.watched === undefined;
    world.watched = state;
    let before = performance.now();
    const frame = (now: number) => {
      const took = now - before;
      before = now;
      if (world.watched) {
        world.watched.count += 1;
        world.watched.longest = Math.max(world.watched.longest, took);
        world.watched.slow += took > 50 ? 1 : 0;
      }
      requestAnimationFrame(frame);
    };
    if (isFirst) {
      requestAnimationFrame(frame);
    }
  });
  return () => page.evaluate(() => ({ ...(window as unknown as { watched: Frames }).watched }));
}

async function heap(session: CDPSession): Promise<number> {
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  return usedSize / 2 ** 20;
}

test("the page stays smooth, and its memory flat", async ({ page }) => {
  await page.goto(besty.url);
  await expect(page.getByTestId("total")).toHaveText(`${RESERVATIONS.toLocaleString("en-GB")} reservations`);
  const session = await page.context().newCDPSession(page);

  // To the end and back, as fast as pages come.
  let frames = await watchFrames(page);
  const began = Date.now();
  const box = await page.getByRole("grid").boundingBox();
  await page.mouse.move((box?.x ?? 0) + 300, (box?.y ?? 0) + 200);
  const oldest = page.getByRole("row", { name: /res_\d+/ }).last();
  for (;;) {
    await page.mouse.wheel(0, 6_000);
    const isAtEnd = await page
      .getByRole("grid")
      .evaluate((grid) => grid.scrollTop + grid.clientHeight >= grid.scrollHeight - 4);
    if (isAtEnd && (await page.getByText("more as you scroll").count()) === 0) {
      break;
    }
  }
  await expect(oldest).toBeVisible();
  const scrolled = await frames();
  console.log(`scrolled through ${RESERVATIONS} in ${Date.now() - began} ms: ${JSON.stringify(scrolled)}`);
  console.log(`heap with all of them loaded: ${(await heap(session)).toFixed(1)} MiB`);
  expect(scrolled.count).toBeGreaterThan(0);
  expect(scrolled.longest).toBeLessThan(LONGEST_FRAME);

  await page.getByRole("grid").evaluate((grid) => grid.scrollTo(0, 0));
  await expect(page.getByText("more as you scroll")).toBeVisible();
  let isOver = false;
  let sent = 0;
  const changing = (async () => {
    const start = Date.now();
    while (!isOver) {
      const due = ((Date.now() - start) / 1_000) * CHANGES_A_SECOND;
      if (sent < due) {
        sent += 1;
        await besty.apply({ ...booking(1 + ((sent * 7_919) % RESERVATIONS)), status: "modified", total: 100 + (sent % 900) });
      } else {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  })();
  // What is made once and kept, as compiled code is, comes in the first half minute.
  await page.waitForTimeout(30_000);
  const heaps = [await heap(session)];
  frames = await watchFrames(page);
  const all: Frames = { count: 0, longest: 0, slow: 0 };
  for (let half = 0; half < MINUTES * 2; half += 1) {
    await page.waitForTimeout(30_000);
    const now = await frames();
    all.count += now.count;
    all.slow += now.slow;
    all.longest = Math.max(all.longest, now.longest);
    // Collecting all garbage at once stops the page: it is no frame of its own making.
    heaps.push(await heap(session));
    frames = await watchFrames(page);
  }
  isOver = true;
  await changing;
  console.log(`${sent} changes in ${MINUTES} min: ${JSON.stringify(all)}`);
  console.log(`heap in MiB, every half minute: ${heaps.map((size) => size.toFixed(1)).join(" ")}`);
  expect(all.longest).toBeLessThan(LONGEST_FRAME);
  expect(heaps.at(-1)).toBeLessThan((heaps[0] ?? 0) * 1.2 + 2);
  await expect(page.getByRole("status", { name: "Connection" })).toHaveText("Live");
});
