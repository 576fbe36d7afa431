import { forThisTab } from "../lib/storage.ts";

/** How media gets here: one endless response into Media Source Extensions, or HLS. */
export type Path = "live" | "hls";

const KEY = "path";

/** `?path=hls` or `?path=live` in the address: for the whole tab, over reloads; `?path=auto` undoes it. */
function readForced(): Path | null {
  const asked = typeof location === "undefined" ? null : new URLSearchParams(location.search).get("path");
  if (asked !== null) forThisTab.set(KEY, asked === "auto" ? null : asked);
  const kept = typeof sessionStorage === "undefined" ? null : forThisTab.get(KEY);
  return kept === "hls" || kept === "live" ? kept : null;
}

/** Which path this page takes; once HLS had to help out it stays with HLS. */
export class PathChoice {
  readonly #forced = readForced();
  #stays = false;

  get path(): Path {
    if (this.#forced) return this.#forced;
    return this.#stays ? "hls" : "live";
  }

  get mayFallBack(): boolean {
    return this.#forced === null;
  }

  /** HLS plays where live.mp4 would not. */
  stayWithHls(): void {
    this.#stays = true;
  }
}

export const choice = new PathChoice();
