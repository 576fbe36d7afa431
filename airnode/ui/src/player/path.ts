import { forThisTab } from "../lib/storage.ts";

/** How media gets here: one endless response into Media Source Extensions, or HLS. */
export type Path = "live" | "hls";

const KEY = "path";

/** After a fallback to HLS, live.mp4 is tried again after this time; after each further fallback, after twice the time. */
const FIRST_MS = 8_000;
const MOST_MS = 300_000;
/** After live.mp4 has played for this long, earlier fallbacks are not counted. */
const LASTING_MS = 60_000;

/** How live.mp4 is played where the address says so: by WebCodecs, the picture with its sound or not waiting for it. */
export type ForcedDelay = "lowdelay" | "lowdelay-free";

/**
 * `?path=hls`, `live`, `lowdelay` or `lowdelay-free` in the address: for the whole tab, over reloads; `?path=auto` undoes it.
 */
function readForced(): Path | ForcedDelay | null {
  const asked = typeof location === "undefined" ? null : new URLSearchParams(location.search).get("path");
  if (asked !== null) forThisTab.set(KEY, asked === "auto" ? null : asked);
  const kept = typeof sessionStorage === "undefined" ? null : forThisTab.get(KEY);
  return kept === "hls" || kept === "live" || kept === "lowdelay" || kept === "lowdelay-free" ? kept : null;
}

/** Chooses the path of this page: live.mp4, or HLS for some time after a fallback. */
export class PathChoice {
  readonly #forced = readForced();
  readonly #random: () => number;
  #falls = 0;
  #untilMs = -Infinity;
  #playsSinceMs = Infinity;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  path(nowMs: number): Path {
    if (this.#forced) return this.#forced === "hls" ? "hls" : "live";
    return nowMs < this.#untilMs ? "hls" : "live";
  }

  /** The address says how live.mp4 is to be played; "live": by Media Source Extensions. */
  get forcedDelay(): ForcedDelay | "live" | null {
    return this.#forced === "hls" ? null : this.#forced;
  }

  get mayFallBack(): boolean {
    return this.#forced === null;
  }

  /** HLS plays, and live.mp4 is due for another try. */
  mayReturn(nowMs: number): boolean {
    return this.mayFallBack && nowMs >= this.#untilMs;
  }

  /** live.mp4 plays. */
  onLivePlays(nowMs: number): void {
    this.#playsSinceMs = nowMs;
  }

  /** HLS plays and live.mp4 does not: keep HLS for some time, of random length, so that a class does not return at once. */
  stayWithHls(nowMs: number): void {
    if (nowMs - this.#playsSinceMs > LASTING_MS) this.#falls = 0;
    this.#playsSinceMs = Infinity;
    const waitMs = Math.min(MOST_MS, FIRST_MS * 2 ** this.#falls);
    this.#falls = Math.min(this.#falls + 1, 16);
    this.#untilMs = nowMs + waitMs * (0.75 + 0.5 * this.#random());
  }
}

export const choice = new PathChoice();
