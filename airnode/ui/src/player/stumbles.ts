const MOST = 10;
const WITHIN_MS = 20_000;

/** Decides whether `live.mp4` is loaded again after a decoding error: after a few errors yes, after many no. */
export class Stumbles {
  #atMs: number[] = [];

  /** `playing`: it had played until then. */
  mayGoOn(nowMs: number, playing: boolean): boolean {
    this.#atMs = this.#atMs.filter((atMs) => nowMs - atMs < WITHIN_MS);
    if (!playing && this.#atMs.length === 0) return false;
    this.#atMs.push(nowMs);
    return this.#atMs.length <= MOST;
  }
}
