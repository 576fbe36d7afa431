import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStreamParser } from "../src/lib/sse.ts";

const STREAM = ': hello\n\nevent: room\ndata: {"a":1}\n\ndata: one\ndata:two\r\n\r\nevent: lost\n\nid: 7\ndata: last\n\n';
const EXPECTED = [
  { event: "room", data: '{"a":1}' },
  { event: "message", data: "one\ntwo" },
  { event: "message", data: "last" },
];

test("events, comments, several data lines, line ends", () => {
  assert.deepEqual(new EventStreamParser().push(STREAM), EXPECTED);
});

test("the same in pieces of any size", () => {
  for (let size = 1; size < 12; size += 1) {
    const parser = new EventStreamParser();
    const events = [];
    for (let at = 0; at < STREAM.length; at += size) events.push(...parser.push(STREAM.slice(at, at + size)));
    assert.deepEqual(events, EXPECTED, `pieces of ${size}`);
  }
});

test("an endless event is dropped, and the next one is read", () => {
  const parser = new EventStreamParser();
  for (let index = 0; index < 40; index += 1) assert.deepEqual(parser.push(`data: ${"x".repeat(10_000)}\n`), []);
  assert.deepEqual(parser.push("\ndata: fine\n\n"), [{ event: "message", data: "fine" }]);
});
