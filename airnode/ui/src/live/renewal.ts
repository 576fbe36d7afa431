const MARGIN_SHARE = 0.1;
const MIN_MARGIN_MS = 5_000;
const MAX_MARGIN_MS = 60_000;
const MIN_DELAY_MS = 1_000;
/** The longest timer a browser takes. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** When to ask for the next token: a tenth of its life before its end, a little different for everyone. */
export function renewalDelayMs(expiresAtMs: number, serverNowMs: number, random: () => number = Math.random): number {
  const lifeMs = expiresAtMs - serverNowMs;
  const margin = Math.min(MAX_MARGIN_MS, Math.max(MIN_MARGIN_MS, lifeMs * MARGIN_SHARE));
  const delay = lifeMs - margin * (1 + random());
  return Math.min(MAX_DELAY_MS, Math.max(MIN_DELAY_MS, delay));
}
