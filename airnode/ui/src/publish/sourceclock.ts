/** The smallest delay of this long counts as none. */
const WINDOW_US = 1_000_000;
/** A smaller change than this is followed slowly, so that jitter of the delay does not become jitter of the time. */
const STEP_US = 15_000;
const FOLLOW = 0.002;
/** A source that is off by more than this began anew: another camera, or the same one after a sleep. */
const JUMP_US = 1_000_000;

/**
 * Puts the timestamps of a source (a camera, a microphone) on the page's clock. Every source counts from a time of its own,
 * the delay of its frames varies, and it stands still while the machine is too busy for it. The smallest delay of the last
 * one to two seconds counts as none, so that time stays as even as the source is.
 */
export class SourceClock {
  #offsetUs: number | null = null;
  /** The smallest offsets of this second and of the one before. */
  #leastUs = Number.POSITIVE_INFINITY;
  #beforeUs = Number.POSITIVE_INFINITY;
  #turnsUs = 0;

  /** Return the time on the page's clock of a frame that the source stamped so, and that arrived at `arrivedUs`. */
  place(sourceUs: number, arrivedUs: number): number {
    const offsetUs = arrivedUs - sourceUs;
    if (this.#offsetUs === null || Math.abs(offsetUs - this.#offsetUs) > JUMP_US) {
      this.#leastUs = this.#beforeUs = this.#offsetUs = offsetUs;
      this.#turnsUs = arrivedUs + WINDOW_US;
      return arrivedUs;
    }
    if (arrivedUs >= this.#turnsUs) {
      this.#beforeUs = this.#leastUs;
      this.#leastUs = offsetUs;
      this.#turnsUs = arrivedUs + WINDOW_US;
    }
    this.#leastUs = Math.min(this.#leastUs, offsetUs);
    const aimUs = Math.min(this.#leastUs, this.#beforeUs);
    const offUs = aimUs - this.#offsetUs;
    this.#offsetUs += Math.abs(offUs) > STEP_US ? offUs : offUs * FOLLOW;
    return sourceUs + this.#offsetUs;
  }
}

/** Makes timestamps increase: a source may stamp two frames alike, or begin anew. */
export class Increasing {
  #lastUs = -1;

  next(timestampUs: number): number {
    this.#lastUs = Math.max(Math.round(timestampUs), this.#lastUs + 1_000);
    return this.#lastUs;
  }
}
