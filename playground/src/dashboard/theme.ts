/** Light, dark, or as the system has it. Kept by the browser; GraphiQL keeps its own. */
import { useCallback, useEffect, useState } from "react";

export const themes = ["system", "light", "dark"] as const;
export type Theme = (typeof themes)[number];

const KEY = "besty:theme";

function stored(): Theme {
  const value = localStorage.getItem(KEY);
  return themes.find((theme) => theme === value) ?? "system";
}

export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(stored);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  const choose = useCallback((chosen: Theme) => {
    localStorage.setItem(KEY, chosen);
    setTheme(chosen);
  }, []);
  return [theme, choose];
}
