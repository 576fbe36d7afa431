/** A live stream brings something several times a second; so long without anything is worth a question. */
export const QUIET_MS = 1_200;
/** A page that slept for so long knows nothing about what came meanwhile. */
const SLEPT_MS = 1_000;

/** Notices that no media comes though it should; before the picture stands still, and without any error. */
export class Silence {
  #endS = Number.NaN;
  #heardMs: number | null = null;
  #checkedMs = 0;
  #namedMs = 0;

  reset(): void {
    this.#heardMs = null;
  }

  /** For how long nothing came. */
  lastedMs(nowMs: number): number {
    return this.#heardMs === null ? 0 : nowMs - this.#heardMs;
  }

  /** `endS`: where the media in hand ends. True once for each further {@link QUIET_MS} of silence. */
  check(nowMs: number, endS: number, expected: boolean): boolean {
    const slept = nowMs - this.#checkedMs > SLEPT_MS;
    this.#checkedMs = nowMs;
    if (!expected) this.#heardMs = null;
    else if (this.#heardMs === null || slept || endS !== this.#endS) this.#heardMs = this.#namedMs = nowMs;
    this.#endS = endS;
    if (!expected || nowMs - this.#namedMs < QUIET_MS) return false;
    this.#namedMs = nowMs;
    return true;
  }
}
