import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** Where `npm run dev` finds the server that answers GraphQL. */
const server = "http://127.0.0.1:3000";

export default defineConfig({
  // Every page takes its assets from /playground/assets: one route of the server serves them all.
  base: "/playground/",
  plugins: [react()],
  build: {
    target: "es2022",
    rolldownOptions: {
      // One entry a page; each becomes dist/<name>.html.
      input: ["dashboard.html", "playground.html"],
      // GraphiQL's "use no memo" speaks to React's compiler, which has already run over it.
      checks: { moduleLevelDirective: false },
    },
    // Monaco is one large chunk by nature, loaded once and cached for good.
    chunkSizeWarningLimit: 4096,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { "/graphql": { target: server, ws: true } },
  },
});
