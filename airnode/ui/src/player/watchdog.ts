export type Remedy = "none" | "seek" | "reload" | "relocate";

const STEPS: readonly { afterMs: number; remedy: Remedy }[] = [
  { afterMs: 1_500, remedy: "seek" },
  { afterMs: 5_000, remedy: "reload" },
  { afterMs: 12_000, remedy: "relocate" },
];

/**
 * Detects that the picture stands still although it should move, and returns what to try next: jump to the live edge,
 * load the source again, ask for another node. Each remedy is returned once per stall.
 */
export class Watchdog {
  #position = Number.NaN;
  #movedAtMs: number | null = null;
  #taken = 0;

  reset(): void {
    this.#movedAtMs = null;
    this.#taken = 0;
  }

  /** `expected`: playback is wanted and the teacher is live. */
  check(nowMs: number, position: number, expected: boolean): Remedy {
    if (!expected) {
      this.reset();
      return "none";
    }
    if (this.#movedAtMs === null || position !== this.#position) {
      this.#movedAtMs = nowMs;
      this.#taken = 0;
    }
    this.#position = position;
    const step = STEPS[this.#taken];
    if (!step || nowMs - this.#movedAtMs < step.afterMs) return "none";
    this.#taken += 1;
    return step.remedy;
  }
}
