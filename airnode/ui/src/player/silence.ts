/** A live stream sends data several times a second. After this time without data the page asks whether the node is there. */
export const QUIET_MS = 1_200;
/** A page whose timer was late by more than this was suspended: it cannot tell whether data came. */
const SLEPT_MS = 1_000;

/** Detects that no media arrives although it should, before the picture stops and without an error. */
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

  /** `endS`: where the buffered media ends. True once for each further {@link QUIET_MS} of silence. */
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
