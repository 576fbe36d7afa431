import assert from "node:assert/strict";
import { test } from "node:test";
import { Pace } from "../src/player/pace.ts";
import { Watchdog } from "../src/player/watchdog.ts";

/** Plays a saw-tooth buffer for a while; returns how much is in hand at the end, and the rates used. */
function play(pace: Pace, aheadS: number, seconds: number, partS: number, from = 0) {
  const rates = new Set<number>();
  let arrivedS = 0;
  for (let ms = 0; ms < seconds * 1_000; ms += 250) {
    const rate = pace.rate(from + ms, aheadS, partS);
    rates.add(rate);
    arrivedS += 0.25;
    aheadS -= 0.25 * rate;
    for (; arrivedS >= partS; arrivedS -= partS) aheadS += partS;
  }
  return { aheadS, rates };
}

test("too much in hand is played away, and then the pace is even", () => {
  const pace = new Pace();
  const { aheadS } = play(pace, 2, 30, 0.2);
  assert.ok(aheadS > 0.15 && aheadS < 0.75, `${aheadS}`);
  const { rates } = play(pace, aheadS, 5, 0.2, 30_000);
  assert.ok([...rates].every((rate) => rate > 0.94 && rate < 1.1), `${[...rates]}`);
});

test("whole segments of a second are not mistaken for too much in hand", () => {
  const { aheadS, rates } = play(new Pace(), 1.3, 20, 1);
  assert.ok(aheadS >= 0, `${aheadS}`);
  assert.ok(Math.max(...rates) <= 1.06, `${[...rates]}`);
});

test("each stall asks for more in hand, calm takes it back", () => {
  const pace = new Pace();
  const before = pace.aimS;
  pace.stalled(0);
  pace.stalled(100);
  assert.equal(pace.aimS, before + 0.5);
  for (let ms = 0; ms < 300_000; ms += 1_000) pace.rate(ms, 0.5, 0.2);
  assert.equal(pace.aimS, before);
  for (let index = 0; index < 100; index += 1) pace.stalled(0);
  assert.equal(pace.aimS, 3);
});

test("nearly nothing in hand slows down at once", () => {
  assert.equal(new Pace().rate(0, 0.02, 0.2), 0.95);
});

test("a picture that stands still: seek, reload, another node, each once", () => {
  const watchdog = new Watchdog();
  const remedies = [];
  for (let ms = 0; ms <= 30_000; ms += 250) {
    const remedy = watchdog.check(ms, 5, true);
    if (remedy !== "none") remedies.push([ms, remedy]);
  }
  assert.deepEqual(remedies, [[1_500, "seek"], [5_000, "reload"], [12_000, "relocate"]]);
});

test("a moving picture, a pause and a teacher who is away are left alone", () => {
  const watchdog = new Watchdog();
  for (let ms = 0; ms < 60_000; ms += 250) assert.equal(watchdog.check(ms, ms / 1_000, true), "none");
  for (let ms = 60_000; ms < 90_000; ms += 250) assert.equal(watchdog.check(ms, 60, false), "none");
  assert.equal(watchdog.check(90_000, 60, true), "none");
  assert.equal(watchdog.check(91_500, 60, true), "seek");
});
