import assert from "node:assert/strict";
import { test } from "node:test";
import { raisedHands } from "../src/classrecord/hands.ts";

const row = (at: number, user_id: string, raised: boolean) => ({ at, user_id, name: user_id.toUpperCase(), raised });

test("a hand is up until it is lowered, by its student or with all others by the teacher", () => {
  const rows = [row(1, "a", true), row(2, "b", true), row(3, "a", false), row(4, "c", true), row(5, "", false), row(6, "b", true)];
  assert.deepEqual(
    raisedHands(rows).map(({ userId, from, to }) => [userId, from, to]),
    [["a", 1, 3], ["b", 2, 5], ["c", 4, 5], ["b", 6, null]],
  );
});

test("a hand that is raised twice is one, and lowering one that is not up is nothing", () => {
  assert.deepEqual(
    raisedHands([row(1, "a", false), row(2, "a", true), row(3, "a", true), row(4, "a", false)]).map(({ from, to }) => [from, to]),
    [[2, 4]],
  );
});
