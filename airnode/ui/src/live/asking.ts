import type { Problem } from "../api/client.ts";
import { delayMs, sleep } from "../lib/backoff.ts";

export const BACKOFF = { baseMs: 600, capMs: 6_000 };

export interface AskEvents {
  /** One try; null when it went well. */
  attempt(signal: AbortSignal): Promise<Problem | null>;
  /** The server refuses for good. */
  refused(problem: Problem): void;
  /** What keeps us waiting (null: nothing but good manners), and for how long. */
  waiting(problem: Problem | null, forMs: number): void;
}

/** Asks again and again until it is given or refused: politely, and one loop at a time. */
export class Asking {
  readonly #events: AskEvents;
  readonly #wait: typeof sleep;
  readonly #random: () => number;
  #run: AbortController | null = null;

  constructor(events: AskEvents, wait: typeof sleep = sleep, random: () => number = Math.random) {
    this.#events = events;
    this.#wait = wait;
    this.#random = random;
  }

  get underway(): boolean {
    return this.#run !== null;
  }

  /** Begin in `firstMs`; a loop that is under way is given up. */
  begin(firstMs = 0): void {
    this.stop();
    const run = new AbortController();
    this.#run = run;
    const done = () => {
      if (this.#run === run) this.#run = null;
    };
    void this.#loop(run.signal, firstMs).then(done, done);
  }

  stop(): void {
    this.#run?.abort();
    this.#run = null;
  }

  async #loop(signal: AbortSignal, firstMs: number): Promise<void> {
    if (firstMs > 0) {
      this.#events.waiting(null, firstMs);
      await this.#wait(firstMs, signal);
    }
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const problem = await this.#events.attempt(signal);
      if (signal.aborted || problem === null) return;
      if (problem.hopeless) return this.#events.refused(problem);
      const waitMs = delayMs(attempt, BACKOFF, problem.retryAfterS, this.#random);
      this.#events.waiting(problem, waitMs);
      await this.#wait(waitMs, signal);
    }
  }
}
