import assert from "node:assert/strict";
import { test } from "node:test";
import { LivePace } from "../src/player/livepace.ts";

const FRAME_MS = 1000 / 30;
const TICK_MS = 50;

interface Seen {
  /** Distance of the picture from the moment of capture, in seconds, at each tick. */
  behindS: number[];
  changesMs: number[];
  waits: number[];
}

interface Scene {
  seconds: number;
  /** How late a fragment arrives, in ms. */
  late?: (mediaMs: number) => number;
  sound?: boolean;
  /** How far behind the picture starts. */
  behindS?: number;
  fragmentMs?: number;
}

/**
 * Plays a stream like a browser would: the picture moves at the rate, stands still where media is missing, goes on with
 * 60 ms in hand, and with sound each change of the rate costs 10 ms.
 */
function play({ seconds, late = () => 0, sound = true, behindS = 0.4, fragmentMs = FRAME_MS }: Scene, pace = new LivePace()): Seen {
  pace.reset(sound);
  const seen: Seen = { behindS: [], changesMs: [], waits: [] };
  const [arrivals, costS] = [arrivalsOf(seconds, late, fragmentMs), sound ? 0.01 : 0];
  let [next, endS, positionS, rate, waiting] = [0, 0, -behindS, 1, false];
  for (let now = 0; now < seconds * 1000; now += 5) {
    for (; next < arrivals.length && arrivals[next]!.atMs <= now; next += 1) {
      pace.arrived(arrivals[next]!.atMs, arrivals[next]!.mediaMs / 1000);
      endS = (arrivals[next]!.mediaMs + fragmentMs) / 1000;
    }
    if (waiting && endS - positionS > 0.06) waiting = false;
    if (!waiting) positionS += 0.005 * rate;
    if (!waiting && now > 100 && positionS > endS) {
      waiting = true;
      seen.waits.push(now);
      pace.stalled(now);
    }
    if (now % TICK_MS !== 0) continue;
    seen.behindS.push(now / 1000 - positionS);
    const wanted = pace.rate(now, positionS);
    if (wanted === "jump") positionS = pace.position(now)!;
    else if (wanted !== rate) {
      rate = wanted;
      positionS -= costS;
      seen.changesMs.push(now);
    }
  }
  return seen;
}

function arrivalsOf(seconds: number, late: (mediaMs: number) => number, fragmentMs: number) {
  const arrivals = [];
  let last = -Infinity;
  for (let mediaMs = -1000; mediaMs < seconds * 1000; mediaMs += fragmentMs) {
    last = Math.max(last, mediaMs + fragmentMs + late(mediaMs)); // TCP keeps the order
    arrivals.push({ atMs: last, mediaMs });
  }
  return arrivals;
}

function quantile(values: number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(q * (values.length - 1))]!;
}

function from(seen: Seen, fromS: number): Seen {
  return {
    behindS: seen.behindS.slice((fromS * 1000) / TICK_MS),
    changesMs: seen.changesMs.filter((at) => at >= fromS * 1000),
    waits: seen.waits.filter((at) => at >= fromS * 1000),
  };
}

function mostWithin(changesMs: number[], withinMs: number): number {
  return Math.max(0, ...changesMs.map((at) => changesMs.filter((each) => each >= at && each - at < withinMs).length));
}

/** 20 to 50 ms, the same in each run. */
function jitter(): (mediaMs: number) => number {
  let seed = 7;
  return () => {
    seed = (seed * 16807) % 2147483647;
    return 20 + (30 * seed) / 2147483647;
  };
}

test("with sound, a steady stream is held 0.125 s above the low water, at an even rate", () => {
  const seen = from(play({ seconds: 60 }), 10);
  assert.ok(quantile(seen.behindS, 0.5) > 0.125 && quantile(seen.behindS, 0.5) < 0.17, `${quantile(seen.behindS, 0.5)}`);
  assert.ok(quantile(seen.behindS, 0.95) < 0.175);
  assert.ok(seen.changesMs.length <= 4, `${seen.changesMs}`);
  assert.deepEqual(seen.waits, []);
});

test("without sound it is nearer", () => {
  const seen = from(play({ seconds: 60, sound: false }), 10);
  assert.ok(quantile(seen.behindS, 0.5) > 0.06 && quantile(seen.behindS, 0.5) < 0.105, `${quantile(seen.behindS, 0.5)}`);
  assert.deepEqual(seen.waits, []);
});

test("jitter of 20 to 50 ms: the latest fragment counts, changes stay rare, nothing waits", () => {
  const seen = from(play({ seconds: 90, late: jitter() }), 10);
  assert.ok(quantile(seen.behindS, 0.95) < 0.22, `${quantile(seen.behindS, 0.95)}`);
  assert.deepEqual(seen.waits, []);
  assert.ok(mostWithin(seen.changesMs, 2000) <= 1, `${seen.changesMs}`);
});

test("after one stall of a second the delay is back within three seconds", () => {
  const late = (mediaMs: number) => (mediaMs >= 20_000 && mediaMs < 21_000 ? 21_000 - mediaMs : 0);
  const seen = play({ seconds: 40, late });
  const before = quantile(from(seen, 15).behindS.slice(0, 80), 0.5);
  const after = from(seen, 24.05).behindS;
  assert.equal(seen.waits.length, 1);
  assert.ok(Math.max(...after) < before + 0.04, `${before} ${Math.max(...after)}`);
  assert.ok(Math.min(...after) > before, "a little more than before: the sound has less in reserve than the clock says");
});

test("a single late fragment does not move the aim", () => {
  const late = (mediaMs: number) => (Math.floor(mediaMs / FRAME_MS) === 600 ? 80 : 0);
  const seen = from(play({ seconds: 40, late }), 15);
  assert.ok(Math.max(...seen.behindS) - Math.min(...seen.behindS) < 0.06);
});

test("lateness that comes again and again is waited for", () => {
  const late = (mediaMs: number) => (Math.floor(mediaMs / FRAME_MS) % 20 === 0 ? 150 : 0);
  const seen = from(play({ seconds: 60, late }), 10);
  assert.deepEqual(seen.waits, []);
  assert.ok(quantile(seen.behindS, 0.5) > 0.25 && quantile(seen.behindS, 0.5) < 0.33, `${quantile(seen.behindS, 0.5)}`);
});

test("longer fragments cost their length, and no more", () => {
  const seen = from(play({ seconds: 40, fragmentMs: 200 }), 15);
  assert.ok(quantile(seen.behindS, 0.5) > 0.31 && quantile(seen.behindS, 0.5) < 0.36, `${quantile(seen.behindS, 0.5)}`);
});

test("much too far behind: a jump", () => {
  const seen = play({ seconds: 10, behindS: 4 });
  assert.ok(seen.behindS[60]! < 0.3, `${seen.behindS[60]}`);
});

test("a second stall soon after the first asks for more, calm takes it back, endless stalls exhaust it", () => {
  const pace = new LivePace();
  pace.reset(true);
  const before = pace.aimS;
  pace.stalled(0);
  assert.ok(Math.abs(pace.aimS - before - 0.02) < 0.001, `${pace.aimS}`);
  pace.stalled(1_000);
  assert.ok(Math.abs(pace.aimS - before - 0.02) < 0.001, "the same accident");
  pace.stalled(5_000);
  assert.ok(Math.abs(pace.aimS - before - 0.14) < 0.001);
  for (let ms = 5_000; ms < 36_000; ms += 33) pace.arrived(ms, ms / 1000);
  assert.ok(Math.abs(pace.aimS - before - 0.01) < 0.001, `${pace.aimS}`);
  for (let ms = 36_000; ms < 46_000; ms += 33) pace.arrived(ms, ms / 1000);
  assert.equal(pace.aimS, before);
  pace.reset(true);
  assert.ok(Math.abs(pace.aimS - before) < 0.001, "another timeline");
  let stalls = 0;
  for (let ms = 60_000; !pace.exhausted && stalls < 50; ms += 4_000, stalls += 1) pace.stalled(ms);
  assert.ok(stalls > 5 && stalls < 15, `${stalls}`);
  assert.equal(pace.aimS, 2);
});

test("after many stalls the delay is back to what it was within 140 s of calm", () => {
  const pace = new LivePace();
  pace.reset(true);
  const before = pace.aimS;
  let ms = 0;
  for (; !pace.exhausted; ms += 4_000) pace.stalled(ms);
  for (const end = ms + 140_000; ms < end; ms += 33) pace.arrived(ms, ms / 1000);
  assert.ok(pace.aimS - before < 0.041, `${pace.aimS}`);
});
