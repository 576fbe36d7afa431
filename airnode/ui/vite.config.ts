import { resolve } from "node:path";
import { defineConfig } from "vite";

const PAGES = ["index", "class", "studio", "docs"];

export default defineConfig({
  server: { port: 5173, strictPort: false, host: "127.0.0.1" },
  build: {
    outDir: resolve(import.meta.dirname, "../web/static"),
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
