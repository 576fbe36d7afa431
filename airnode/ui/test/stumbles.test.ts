import assert from "node:assert/strict";
import { test } from "node:test";
import { Stumbles } from "../src/player/stumbles.ts";

test("a bad piece is passed over, also when the next response begins with it", () => {
  const stumbles = new Stumbles();
  assert.equal(stumbles.mayGoOn(1000, true), true);
  assert.equal(stumbles.mayGoOn(1300, false), true);
  assert.equal(stumbles.mayGoOn(30_000, true), true);
});

test("what never played is not tried again, nor what fails again and again", () => {
  const stumbles = new Stumbles();
  assert.equal(stumbles.mayGoOn(1000, false), false);
  const tries = Array.from({ length: 12 }, (_, number) => stumbles.mayGoOn(2000 + number * 1000, true));
  assert.deepEqual(tries, [...Array<boolean>(10).fill(true), false, false]);
});
