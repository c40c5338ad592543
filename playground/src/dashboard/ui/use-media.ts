/** Whether a media query holds. */
import { useMemo, useSyncExternalStore } from "react";

export function useMedia(query: string): boolean {
  const { subscribe, get } = useMemo(() => {
    const media = window.matchMedia(query);
    return {
      subscribe: (listener: () => void) => {
        media.addEventListener("change", listener);
        return () => media.removeEventListener("change", listener);
      },
      get: () => media.matches,
    };
  }, [query]);
  return useSyncExternalStore(subscribe, get);
}
