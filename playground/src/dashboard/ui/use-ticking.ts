/** The time, read anew every so many milliseconds: for what is told as "so long ago". */
import { useEffect, useState } from "react";

export function useTicking(every: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
