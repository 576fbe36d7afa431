const WINDOW_MS = 300;
/** Without a report for so long nothing is known. */
const LOST_MS = 400;

/** Which moment of the media is heard now, by reports of the worklet that come with some delay each. */
export class SoundClock {
  #reports: { atMs: number; offsetS: number }[] = [];
  /** What lies between the worklet and the ear. */
  outputLatencyS = 0;

  /** The worklet played `mediaS` a moment ago; null: it plays nothing. */
  report(nowMs: number, mediaS: number | null): void {
    if (mediaS === null) {
      this.#reports = [];
      return;
    }
    const offsetS = mediaS - nowMs / 1000;
    const last = this.#reports.at(-1);
    // A cut: what was before it no longer counts.
    if (last && Math.abs(offsetS - last.offsetS) > 0.06) this.#reports = [];
    this.#reports.push({ atMs: nowMs, offsetS });
    this.#reports = this.#reports.filter(({ atMs }) => nowMs - atMs <= WINDOW_MS);
  }

  /** In media seconds; null: no sound is heard. */
  heardS(nowMs: number): number | null {
    const last = this.#reports.at(-1);
    if (!last || nowMs - last.atMs > LOST_MS) return null;
    // The report that was on its way for the shortest time.
    return nowMs / 1000 + Math.max(...this.#reports.map(({ offsetS }) => offsetS)) - this.outputLatencyS;
  }
}
