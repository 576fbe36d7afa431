import assert from "node:assert/strict";
import { test } from "node:test";
import { codeFromAddress, normalizeCode } from "../src/lib/code.ts";
import { phaseOf, type Facts } from "../src/live/phase.ts";
import { renewalDelayMs } from "../src/live/renewal.ts";
import { sameNode, withToken } from "../src/player/retoken.ts";

const LIVE: Facts = { supported: true, joined: true, granted: true, room: "live", playing: true, moving: false, unanswered: false };

test("phases", () => {
  assert.equal(phaseOf(LIVE), "live");
  assert.equal(phaseOf({ ...LIVE, supported: false }), "unsupported");
  assert.equal(phaseOf({ ...LIVE, joined: false }), "idle");
  assert.equal(phaseOf({ ...LIVE, granted: false }), "connecting");
  assert.equal(phaseOf({ ...LIVE, playing: false }), "connecting");
  assert.equal(phaseOf({ ...LIVE, room: null }), "live");
  assert.equal(phaseOf({ ...LIVE, moving: true }), "moving");
  assert.equal(phaseOf({ ...LIVE, moving: true, unanswered: true }), "lost");
  for (const room of ["waiting", "reconnecting", "ended"] as const) assert.equal(phaseOf({ ...LIVE, room }), room);
});

test("a code is read as people write it", () => {
  assert.equal(normalizeCode(" abc-1 23 "), "ABC123");
  assert.equal(codeFromAddress("/class/abc123", ""), "ABC123");
  assert.equal(codeFromAddress("/class/abc%20123/", ""), "ABC123");
  assert.equal(codeFromAddress("/class/%E0%A4%A", ""), "%E0%A4%A");
  assert.equal(codeFromAddress("/class", "?code=x-y-z"), "XYZ");
  assert.equal(codeFromAddress("/class", "?code=%20"), null);
  assert.equal(codeFromAddress("/", ""), null);
});

test("the token is renewed before its end and not by everyone at once", () => {
  assert.equal(renewalDelayMs(600_000, 0, () => 0), 540_000);
  assert.equal(renewalDelayMs(600_000, 0, () => 1), 480_000);
  assert.equal(renewalDelayMs(20_000, 0, () => 0), 15_000);
  assert.equal(renewalDelayMs(-5_000, 0, () => 0), 1_000);
  assert.ok(renewalDelayMs(1e15, 0) < 2 ** 31);
});

test("a renewed token takes the old one's place in media addresses only", () => {
  assert.equal(withToken("http://n:8888/v/old/room/media.m3u8?_HLS_msn=4", "new"), "http://n:8888/v/new/room/media.m3u8?_HLS_msn=4");
  assert.equal(withToken("/v/old/room/s1.m4s", "new"), "/v/new/room/s1.m4s");
  assert.equal(withToken("http://n:8888/other/old/x.m4s", "new"), "http://n:8888/other/old/x.m4s");
  assert.equal(sameNode("http://n:8888/a", "http://n:8888/b"), true);
  assert.equal(sameNode("http://n:8888/a", "http://m:8888/a"), false);
  assert.equal(sameNode("http://n:8888/a", "/a"), false);
});
