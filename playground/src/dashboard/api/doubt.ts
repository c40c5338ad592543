/**
 * When a connection may be gone without anybody having said so: the network went or came, the machine slept, the
 * page was frozen or out of sight.
 */

const TICK = 2_000;
/** A page in sight whose timers stood still for so long was asleep, and what it shows may be as old. */
const SLEPT = 10_000;

interface Doubt {
  /** It is gone, or as good as gone. */
  gone(): void;
  /** It may be gone. */
  ask(): void;
  /** It may be had again. */
  back(): void;
}

/** For as long as the page is open. */
export function whenInDoubt({ gone, ask, back }: Doubt): void {
  window.addEventListener("offline", gone);
  window.addEventListener("online", back);
  window.document.addEventListener("resume", ask);
  window.document.addEventListener("visibilitychange", () => {
    if (!window.document.hidden) {
      ask();
    }
  });
  let ticked = Date.now();
  setInterval(() => {
    const now = Date.now();
    // Timers of a page out of sight are slowed down as it is.
    if (now - ticked > SLEPT && !window.document.hidden) {
      gone();
    }
    ticked = now;
  }, TICK);
}
