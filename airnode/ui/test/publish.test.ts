import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseCodec, chooseSound, codecStrings, levelFor } from "../src/publish/encoderconfig.ts";
import { aacRecord, audioMessage, configMessage, opusRecord, parseServerMessage, videoMessage } from "../src/publish/framing.ts";
import { FULL_BPS, ladder, MIN_BPS, QUALITIES, rungFor } from "../src/publish/ladder.ts";
import { contained, insetArea, layoutOf } from "../src/publish/layout.ts";
import { Increasing, SourceClock } from "../src/publish/sourceclock.ts";
import { browserName, missingHere } from "../src/publish/support.ts";

const chunk = (...bytes: number[]) => ({
  byteLength: bytes.length,
  copyTo: (to: AllowSharedBufferSource) => (to as Uint8Array).set(bytes),
});

test("frames have kind, flags and a timestamp of 48 bits before the sample", () => {
  assert.deepEqual([...videoMessage(chunk(7, 8), 0x0102_0304_0506, true)], [2, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual([...videoMessage(chunk(7), 33_333.4, false)], [2, 0, 0, 0, 0, 0, 0x82, 0x35, 7]);
  assert.deepEqual([...audioMessage(chunk(9), 1)], [3, 0, 0, 0, 0, 0, 0, 1, 9]);
  assert.deepEqual([...configMessage("opus", new Uint8Array([5]))], [1, 17, 5]);
});

test("messages of the server that are not known are none", () => {
  assert.deepEqual(parseServerMessage('{"type":"ack","messages":1,"bytes":2}'), { type: "ack", messages: 1, bytes: 2 });
  for (const text of ["", "{", "null", "[]", '"ack"', '{"type":"later"}', '{"type":1}']) assert.equal(parseServerMessage(text), null);
});

test("configurations of sound follow their standards", () => {
  assert.deepEqual([...aacRecord(48_000, 2)], [0x11, 0x90]);
  assert.deepEqual([...aacRecord(44_100, 1)], [0x12, 0x08]);
  assert.throws(() => aacRecord(47_000, 2), RangeError);
  const usual = [0, 2, 0x01, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0];
  assert.deepEqual([...opusRecord(null, 2)], usual);
  const head = new Uint8Array([...Buffer.from("OpusHead"), 1, 2, 0x38, 0x01, 0x80, 0xbb, 0, 0, 0, 0, 0]);
  assert.deepEqual([...opusRecord(head, 1)], usual);
});

test("the level is the lowest that allows size and frame rate", () => {
  assert.equal(levelFor(1280, 720, 30), 0x1f);
  assert.equal(levelFor(1920, 1080, 30), 0x28);
  assert.equal(levelFor(640, 360, 15), 0x1e);
  assert.equal(levelFor(1920, 1080, 60), 0x2a);
  assert.deepEqual(codecStrings({ width: 1280, height: 720, frameRate: 30 }), ["avc1.64001f", "avc1.4d001f", "avc1.42e01f"]);
});

test("the best profile that the browser encodes is chosen, without those that failed", async () => {
  const rung = ladder(720)[0]!;
  const asked: string[] = [];
  const supports = async ({ codec }: VideoEncoderConfig) => (asked.push(codec), { supported: !codec.startsWith("avc1.64") });
  assert.equal(await chooseCodec(rung, new Set(), supports), "avc1.4d001f");
  assert.equal(await chooseCodec(rung, new Set(["avc1.4d001f"]), supports), "avc1.42e01f");
  assert.equal(await chooseCodec(rung, new Set(), async () => ({ supported: false })), null);
  assert.equal(await chooseCodec(rung, new Set(), () => Promise.reject(new TypeError("unknown"))), null);
  assert.equal((await chooseSound(async ({ codec }) => ({ supported: codec === "opus" })))?.codec, "opus");
  assert.equal((await chooseSound(async () => ({ supported: true })))?.codec, "mp4a.40.2");
});

test("going down, the frame rate gives way before the size", () => {
  for (const quality of QUALITIES) {
    const rungs = ladder(quality);
    assert.deepEqual(rungs.slice(0, 3).map(({ frameRate }) => frameRate), [30, 20, 15]);
    assert.ok(rungs.slice(0, 3).every(({ height }) => height === quality));
    for (const [index, rung] of rungs.slice(1).entries()) {
      assert.ok(rung.fromBps <= rungs[index]!.fromBps, `${quality}: ${JSON.stringify(rungs)}`);
      assert.ok(rung.height <= rungs[index]!.height);
      assert.equal(rung.width % 2, 0);
    }
    assert.equal(rungFor(rungs, FULL_BPS[quality], 3), 0);
    assert.ok(rungs[rungFor(rungs, MIN_BPS, 0)]!.height <= 360);
  }
});

test("a bit rate between two rungs does not alternate", () => {
  const rungs = ladder(720);
  const edge = rungs[0]!.fromBps;
  assert.equal(rungFor(rungs, edge - 1, 0), 1);
  assert.equal(rungFor(rungs, edge + 1, 1), 1);
  assert.equal(rungFor(rungs, edge * 1.3, 1), 0);
});

test("a source's time is kept, its jitter is not", () => {
  const clock = new SourceClock();
  const placed = [0, 33, 67, 100].map((ms, index) => clock.place(ms * 1_000, 5e6 + ms * 1_000 + [0, 9, 3, 20][index]! * 1_000));
  for (const [index, ms] of [0, 33, 67, 100].entries()) assert.ok(Math.abs(placed[index]! - (5e6 + ms * 1_000)) < 500);
  assert.equal(clock.place(0, 9e6), 9e6, "a source that begins anew is at its time of arrival");
});

test("a slow source is followed", () => {
  const clock = new SourceClock();
  let last = 0;
  for (let ms = 0; ms <= 600_000; ms += 20) last = clock.place(ms * 1_000 * 0.9999, ms * 1_000);
  assert.ok(Math.abs(last - 600e6) < 16_000, `${last}`);
});

test("a source that stood still is late for two seconds at most", () => {
  const clock = new SourceClock();
  let last = 0;
  for (let ms = 0; ms <= 2_000; ms += 10) clock.place(ms * 1_000, ms * 1_000);
  for (let ms = 2_000; ms <= 4_200; ms += 10) last = clock.place(ms * 1_000, (ms + 300) * 1_000);
  assert.ok(Math.abs(last - 4_500_000) < 16_000, `${last}`);
});

test("timestamps increase", () => {
  const increasing = new Increasing();
  assert.deepEqual([5_000, 5_000, 4_000, 90_000].map((us) => increasing.next(us)), [5_000, 6_000, 7_000, 90_000]);
});

test("the layout follows what is on", () => {
  assert.deepEqual(layoutOf({ camera: true, screen: false, inset: true }), { main: "camera", inset: false });
  assert.deepEqual(layoutOf({ camera: true, screen: true, inset: true }), { main: "screen", inset: true });
  assert.deepEqual(layoutOf({ camera: false, screen: true, inset: true }), { main: "screen", inset: false });
  assert.deepEqual(layoutOf({ camera: false, screen: false, inset: true }), { main: null, inset: false });
});

test("pictures are shown whole, and the camera stays inside", () => {
  const box = { x: 0, y: 0, width: 1280, height: 720 };
  assert.deepEqual(contained(1920, 1080, box), box);
  const turned = contained(720, 1280, box);
  assert.equal(turned.height, 720);
  assert.ok(turned.x > 0 && turned.x + turned.width <= 1280);
  for (const [width, height] of [[1280, 720], [720, 1280], [640, 480]] as const) {
    const inset = insetArea(width, height, box);
    assert.ok(inset.x > 640 && inset.y > 360 && inset.x + inset.width < 1280 && inset.y + inset.height < 720);
    assert.ok(Math.abs(inset.width / inset.height - width / height) < 0.06);
  }
});

test("what a page needs to publish", () => {
  const all = { VideoEncoder: 1, AudioEncoder: 1, AudioWorkletNode: 1, Worker: 1, OffscreenCanvas: 1 };
  const navigator = { mediaDevices: { getUserMedia: () => undefined } };
  assert.equal(missingHere({ ...all, navigator, isSecureContext: true }), null);
  assert.equal(missingHere({ ...all, navigator: {}, isSecureContext: false }), "insecure");
  assert.equal(missingHere({ ...all, navigator, isSecureContext: true, VideoEncoder: undefined }), "browser");
  assert.equal(missingHere({ ...all, navigator: {}, isSecureContext: true }), "browser");
});

test("browsers have their names", () => {
  assert.equal(browserName("Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"), "Chrome 156");
  assert.equal(browserName("Mozilla/5.0 AppleWebKit/537.36 Chrome/150.0 Safari/537.36 Edg/150.0"), "Edge 150");
  assert.equal(browserName("Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Safari/605.1.15"), "Safari 18");
  assert.equal(browserName("Mozilla/5.0 (X11; rv:140.0) Gecko/20100101 Firefox/140.0"), "Firefox 140");
  assert.equal(browserName(""), "Browser");
});
