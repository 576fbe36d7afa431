interface Reading {
  atMs: number;
  aheadS: number;
}

/** Smallest and largest target of the buffer, in seconds. */
const LEAST_AHEAD_S = 0.25;
const MOST_AHEAD_S = 3;
const AFTER_STALL_S = 0.25;
const CALM_MS = 20_000;
const CALM_STEP_S = 0.05;
const MIN_WINDOW_MS = 800;

/**
 * Keeps playback near the live edge by changing the playback rate.
 *
 * It measures the smallest buffer in one delivery period (the buffer grows by a whole part). Above the target it plays
 * slightly faster, below it slightly slower. Each stall raises the target; each period without a stall lowers it. The
 * control of hls.js needs more than a second of buffer before it acts, so it is off.
 */
export class Pace {
  #readings: Reading[] = [];
  #aimS = LEAST_AHEAD_S;
  #calmSinceMs: number | null = null;

  get aimS(): number {
    return this.#aimS;
  }

  /** Forget what was measured: the source or the position changed. */
  reset(): void {
    this.#readings = [];
  }

  stalled(nowMs: number): void {
    this.#aimS = Math.min(MOST_AHEAD_S, this.#aimS + AFTER_STALL_S);
    this.#calmSinceMs = nowMs;
    this.reset();
  }

  /** The rate to play at now. `periodS` is how much media arrives at once (a part, or a segment). */
  rate(nowMs: number, aheadS: number, periodS: number): number {
    const windowMs = Math.max(MIN_WINDOW_MS, periodS * 1500);
    this.#readings.push({ atMs: nowMs, aheadS });
    this.#readings = this.#readings.filter(({ atMs }) => nowMs - atMs <= windowMs);
    this.#relax(nowMs);
    const oldest = this.#readings[0];
    if (aheadS < this.#aimS * 0.3) return 0.95;
    if (!oldest || nowMs - oldest.atMs < windowMs / 2) return 1;
    return rateFor(Math.min(...this.#readings.map((reading) => reading.aheadS)) - this.#aimS);
  }

  #relax(nowMs: number): void {
    this.#calmSinceMs ??= nowMs;
    if (nowMs - this.#calmSinceMs < CALM_MS) return;
    this.#calmSinceMs = nowMs;
    this.#aimS = Math.max(LEAST_AHEAD_S, this.#aimS - CALM_STEP_S);
  }
}

function rateFor(excessS: number): number {
  if (excessS > 1) return 1.3;
  if (excessS > 0.4) return 1.15;
  if (excessS > 0.1) return 1.06;
  if (excessS < -0.15) return 0.97;
  return 1;
}
