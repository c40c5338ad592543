// After Vite: each asset compressed beside itself, as the server sends it (src/http/pages.rs), and the dashboard's
// first load weighed. More than the budget fails the build.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

/** What the dashboard may weigh before it is usable, with gzip: who asks for Brotli loads less. */
const BUDGET = 200 * 1024;
/** Smaller files are sent as they are. */
const WORTH_IT = 1024;

const dist = new URL("../dist/", import.meta.url);
const compressible = /\.(js|css|svg|json|ttf)$/;

for (const name of readdirSync(new URL("assets/", dist))) {
  const file = new URL(`assets/${name}`, dist);
  const plain = readFileSync(file);
  if (compressible.test(name) && plain.length >= WORTH_IT) {
    // The highest level takes half a minute for the editor, and saves next to nothing.
    const params = {
      [constants.BROTLI_PARAM_QUALITY]: plain.length > 500_000 ? 9 : 11,
      [constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
    };
    writeFileSync(new URL(`${file}.br`), brotliCompressSync(plain, { params }));
    writeFileSync(new URL(`${file}.gz`), gzipSync(plain, { level: 9 }));
  }
}

const html = readFileSync(new URL("dashboard.html", dist), "utf8");
// Scripts, their preloads and style sheets: all that the page names itself.
const names = [...html.matchAll(/"\/playground\/(assets\/[^"]+\.(?:js|css))"/g)].map(([, name]) => name);
const weights = names.map((name) => gzipSync(readFileSync(new URL(name, dist)), { level: 9 }).length);
const total = weights.reduce((sum, weight) => sum + weight, gzipSync(html).length);
console.log(`dashboard, first load: ${(total / 1024).toFixed(1)} KiB with gzip, in ${names.length + 1} files`);
if (names.length === 0 || total > BUDGET) {
  console.error(`more than ${BUDGET / 1024} KiB, or nothing found to weigh: ${names.join(", ")}`);
  process.exit(1);
}
