export interface Backoff {
  baseMs: number;
  capMs: number;
}

/**
 * All students of a dead node notice it within the same tenth of a second. Their first requests for a new place are
 * spread evenly over this long, so that a class of 500 asks some 400 times a second, which one master answers at once; and
 * the last of them still plays again within five seconds: 2.4 s to notice a silent node, this, 1 s for place and picture.
 */
export const HERD_SPREAD_MS = 1_200;
/** Every client gets the same Retry-After; their next requests are spread over at least this long. */
const LEAST_SPREAD_MS = 1_000;

/** Return a random wait, so that many pages do not send the same request at once. */
export function herdDelayMs(random: () => number = Math.random): number {
  return HERD_SPREAD_MS * random();
}

/**
 * Return how long to wait before try number `attempt` (0 = the first retry).
 *
 * Half of the exponential step is fixed and half is random, so that the students of a dead node do not all
 * come back at once. A server's Retry-After is the shortest wait; up to a quarter of it, or one second, is added.
 */
export function delayMs(
  attempt: number,
  { baseMs, capMs }: Backoff,
  retryAfterS: number | null = null,
  random: () => number = Math.random,
): number {
  const step = Math.min(capMs, baseMs * 2 ** Math.min(attempt, 16));
  const jittered = step / 2 + (step / 2) * random();
  if (retryAfterS === null) return jittered;
  return Math.max(jittered, retryAfterS * 1000 + Math.max(LEAST_SPREAD_MS, retryAfterS * 250) * random());
}

/** Return `Retry-After` (seconds or an HTTP date) in seconds from `nowMs`; null when absent or unreadable. */
export function parseRetryAfter(header: string | null, nowMs: number): number | null {
  if (header === null || header.trim() === "") return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, (date - nowMs) / 1000);
}

/** Wait, or throw the signal's reason when it aborts first. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Return a controller that also aborts with `outer` (AbortSignal.any is younger than the browsers we serve). */
export function linkedAbort(outer: AbortSignal | undefined): AbortController {
  const inner = new AbortController();
  if (outer?.aborted) inner.abort(outer.reason);
  outer?.addEventListener("abort", () => inner.abort(outer.reason), { once: true, signal: inner.signal });
  return inner;
}
