import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig, type HtmlTagDescriptor, type Plugin } from "vite";

const PAGES = ["index", "class", "studio", "admin", "docs"];
const OUT = resolve(import.meta.dirname, "../web/static");

/** The beginning of every page's head; a page's own file has only the rest. */
const HEAD: HtmlTagDescriptor[] = [
  { tag: "meta", attrs: { charset: "utf-8" } },
  { tag: "meta", attrs: { name: "viewport", content: "width=device-width, initial-scale=1, viewport-fit=cover" } },
  { tag: "meta", attrs: { name: "color-scheme", content: "light dark" } },
  { tag: "meta", attrs: { name: "referrer", content: "no-referrer" } },
  { tag: "link", attrs: { rel: "icon", href: "/favicon.svg", type: "image/svg+xml" } },
];

const head: Plugin = {
  name: "head",
  transformIndexHtml: { order: "pre", handler: () => HEAD },
};

/** Writes a .gz beside each asset; the server sends it to browsers that accept it. */
const compressed: Plugin = {
  name: "compressed",
  apply: "build",
  closeBundle() {
    const assets = join(OUT, "assets");
    for (const name of readdirSync(assets)) {
      writeFileSync(join(assets, `${name}.gz`), gzipSync(readFileSync(join(assets, name)), { level: 9 }));
    }
  },
};

export default defineConfig({
  plugins: [head, compressed],
  server: { port: 5173, strictPort: false, host: "127.0.0.1" },
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // data: URLs are not in the content security policy for scripts and styles
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions: {
      input: Object.fromEntries(PAGES.map((page) => [page, resolve(import.meta.dirname, `${page}.html`)])),
    },
  },
});
