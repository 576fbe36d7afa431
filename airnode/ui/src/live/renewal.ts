const MARGIN_SHARE = 0.1;
const MIN_MARGIN_MS = 5_000;
const MAX_MARGIN_MS = 60_000;
const MIN_DELAY_MS = 1_000;
/** The longest timer a browser takes. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** Return how long to wait before the next token is requested: until a tenth of the lifetime is left, with some randomness. */
export function renewalDelayMs(expiresAtMs: number, serverNowMs: number, random: () => number = Math.random): number {
  const lifeMs = expiresAtMs - serverNowMs;
  const margin = Math.min(MAX_MARGIN_MS, Math.max(MIN_MARGIN_MS, lifeMs * MARGIN_SHARE));
  const delay = lifeMs - margin * (1 + random());
  return Math.min(MAX_DELAY_MS, Math.max(MIN_DELAY_MS, delay));
}
