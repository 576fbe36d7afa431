import assert from "node:assert/strict";
import { test } from "node:test";
import { delayMs, HERD_SPREAD_MS, herdDelayMs, linkedAbort, parseRetryAfter, sleep } from "../src/lib/backoff.ts";

const BACKOFF = { baseMs: 500, capMs: 8_000 };

test("waits double up to the cap, half of each random", () => {
  assert.equal(delayMs(0, BACKOFF, null, () => 0), 250);
  assert.equal(delayMs(0, BACKOFF, null, () => 1), 500);
  assert.equal(delayMs(2, BACKOFF, null, () => 1), 2_000);
  assert.equal(delayMs(400, BACKOFF, null, () => 1), 8_000);
});

test("Retry-After is the least wait, and spread upwards", () => {
  assert.equal(delayMs(0, BACKOFF, 10, () => 0), 10_000);
  assert.equal(delayMs(0, BACKOFF, 10, () => 1), 12_500);
  assert.equal(delayMs(0, BACKOFF, 1, () => 1), 2_000, "never by less than a second");
  assert.equal(delayMs(5, BACKOFF, 0, () => 1), 8_000);
});

test("a class whose node died comes back spread out, and soon", () => {
  const delays = Array.from({ length: 500 }, () => herdDelayMs());
  for (let slice = 0; slice < 4; slice += 1) {
    const from = (slice * HERD_SPREAD_MS) / 4;
    const within = delays.filter((ms) => ms >= from && ms < from + HERD_SPREAD_MS / 4).length;
    assert.ok(within > 60 && within < 190, `${within} of 500 in quarter ${slice}`);
  }
  assert.ok(HERD_SPREAD_MS <= 1_500, "noticing, this, and a second for place and picture stay within five");
});

test("Retry-After in seconds, as a date, and as nonsense", () => {
  const now = Date.parse("2026-11-22T10:00:00Z");
  assert.equal(parseRetryAfter("3", now), 3);
  assert.equal(parseRetryAfter("Sun, 22 Nov 2026 10:00:07 GMT", now), 7);
  assert.equal(parseRetryAfter("Sun, 22 Nov 2026 09:00:00 GMT", now), 0);
  assert.equal(parseRetryAfter("soon", now), null);
  assert.equal(parseRetryAfter(null, now), null);
});

test("an abort ends a wait", async () => {
  const run = new AbortController();
  const waiting = sleep(60_000, run.signal);
  run.abort(new Error("left"));
  await assert.rejects(waiting, /left/);
  await assert.rejects(sleep(60_000, run.signal), /left/);
});

test("a linked controller follows its outer signal, not the other way round", () => {
  const outer = new AbortController();
  const inner = linkedAbort(outer.signal);
  const other = linkedAbort(outer.signal);
  other.abort();
  assert.equal(inner.signal.aborted, false);
  outer.abort();
  assert.equal(inner.signal.aborted, true);
  assert.equal(linkedAbort(outer.signal).signal.aborted, true);
});
