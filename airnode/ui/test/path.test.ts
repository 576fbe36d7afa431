import assert from "node:assert/strict";
import { test } from "node:test";
import { PathChoice } from "../src/player/path.ts";

function half(): number {
  return 0.5;
}

test("live.mp4 first; after each fall HLS for twice as long", () => {
  const choice = new PathChoice(half);
  assert.equal(choice.path(0), "live");
  let now = 0;
  for (const waitS of [8, 16, 32, 64, 128, 256, 300, 300]) {
    choice.stayWithHls(now);
    assert.equal(choice.path(now + waitS * 1000 - 1), "hls");
    assert.equal(choice.mayReturn(now + waitS * 1000 - 1), false);
    now += waitS * 1000;
    assert.equal(choice.path(now), "live");
    assert.equal(choice.mayReturn(now), true);
  }
});

test("a minute of live.mp4 makes good what was before, a few seconds do not", () => {
  const choice = new PathChoice(half);
  for (let falls = 0; falls < 4; falls += 1) choice.stayWithHls(0);
  choice.onLivePlays(100_000);
  choice.stayWithHls(110_000);
  assert.equal(choice.path(110_000 + 127_000), "hls");
  choice.onLivePlays(300_000);
  choice.stayWithHls(361_000);
  assert.equal(choice.path(361_000 + 8_000), "live");
});

test("a class comes back spread out", () => {
  const [first, last] = [new PathChoice(() => 0), new PathChoice(() => 1)];
  first.stayWithHls(0);
  last.stayWithHls(0);
  assert.equal(first.path(6_000), "live");
  assert.equal(last.path(9_999), "hls");
});
