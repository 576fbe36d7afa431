import type { Problem } from "../api/client.ts";
import { delayMs, sleep } from "../lib/backoff.ts";

export const BACKOFF = { baseMs: 600, capMs: 6_000 };

export interface AskEvents {
  /** Try once. Returns null when it went well. */
  attempt(signal: AbortSignal): Promise<Problem | null>;
  /** The server refuses for good. */
  refused(problem: Problem): void;
  /** The next try waits for so long because of `problem`; null: the wait only spreads the requests of a class. */
  waiting(problem: Problem | null, forMs: number): void;
}

/** Tries again, with growing waits, until an attempt succeeds or is refused for good. There is one loop at a time. */
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

  /** Begin in `firstMs`; this replaces a loop that is under way. */
  begin(firstMs = 0): void {
    this.stop();
    this.#run = new AbortController();
    // An abort ends a wait with an error.
    this.#loop(this.#run.signal, firstMs).catch(() => undefined);
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
