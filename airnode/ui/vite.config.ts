import { resolve } from "node:path";
import { defineConfig, type Plugin } from "vite";

const PAGES = ["index", "class", "studio", "docs"];

/** Pages that play at once fetch the player beside their own script instead of after it. */
const PAGES_WITH_PLAYER = new Set(["/index.html", "/class.html"]);

function preloadPlayer(): Plugin {
  return {
    name: "airnode-preload-player",
    transformIndexHtml: {
      order: "post",
      handler(_html, { path, bundle }) {
        if (!bundle || !PAGES_WITH_PLAYER.has(path)) return [];
        const chunk = Object.keys(bundle).find((file) => /assets\/hls\.light-.*\.js$/.test(file));
        if (!chunk) throw new Error("the player's chunk is not in the bundle");
        return [{ tag: "link", attrs: { rel: "modulepreload", crossorigin: true, href: `/${chunk}` }, injectTo: "head" }];
      },
    },
  };
}

export default defineConfig({
  plugins: [preloadPlayer()],
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
