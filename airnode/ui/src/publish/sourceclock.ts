/** How fast the offset follows a source whose clock is slow, in microseconds a second. */
const FOLLOW_US_PER_S = 500;
/** A source that is off by more than this began anew: another camera, or the same one after a sleep. */
const JUMP_US = 1_000_000;

/**
 * Puts the timestamps of a source (a camera, a microphone) on the page's clock. Every source counts from a time of its own;
 * the delay of its frames varies. The smallest delay counts as none, so that time stays as even as the source is.
 */
export class SourceClock {
  #offsetUs: number | null = null;
  #atUs = 0;

  /** Return the time on the page's clock of a frame that the source stamped so, and that arrived at `arrivedUs`. */
  place(sourceUs: number, arrivedUs: number): number {
    const offsetUs = arrivedUs - sourceUs;
    if (this.#offsetUs === null || Math.abs(offsetUs - this.#offsetUs) > JUMP_US) {
      this.#offsetUs = offsetUs;
    } else {
      const followUs = (Math.max(0, arrivedUs - this.#atUs) * FOLLOW_US_PER_S) / 1e6;
      this.#offsetUs = Math.min(offsetUs, this.#offsetUs + followUs);
    }
    this.#atUs = arrivedUs;
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
