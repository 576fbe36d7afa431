import assert from "node:assert/strict";
import { test } from "node:test";
import { ServerClock } from "../src/lib/clock.ts";

test("the shortest round trip decides", () => {
  const clock = new ServerClock();
  clock.addRoundTrip(1_000, 1_400, 6_350); // off by up to 200 ms
  clock.addRoundTrip(2_000, 2_020, 7_010);
  clock.addRoundTrip(3_000, 3_900, 8_100);
  assert.equal(clock.offsetMs, 5_000);
  assert.equal(clock.toServerMs(10_000), 15_000);
  assert.equal(clock.toLocalMs(15_000), 10_000);
});

test("a pushed time counts until a round trip is known, and never crowds one out", () => {
  const clock = new ServerClock();
  assert.equal(clock.known, false);
  clock.addPush(1_000, 900);
  assert.equal(clock.offsetMs, -100);
  clock.addRoundTrip(2_000, 2_010, 2_005);
  for (let index = 0; index < 50; index += 1) clock.addPush(3_000 + index, 0);
  assert.equal(clock.offsetMs, 0);
});

test("old round trips are forgotten, so a clock that is set is followed", () => {
  const clock = new ServerClock();
  clock.addRoundTrip(0, 1, 100);
  for (let index = 1; index < 12; index += 1) clock.addRoundTrip(index * 1_000, index * 1_000 + 20, index * 1_000 + 10 + 3_600_000);
  assert.equal(clock.offsetMs, 3_600_000);
});

test("impossible samples are ignored", () => {
  const clock = new ServerClock();
  clock.addRoundTrip(2_000, 1_000, 1_500);
  clock.addRoundTrip(0, 10, Number.NaN);
  clock.addPush(0, Number.NaN);
  assert.equal(clock.known, false);
});
