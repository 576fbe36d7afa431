import assert from "node:assert/strict";
import { test } from "node:test";
import { liveUrl } from "../src/player/address.ts";
import { joined, StampReader } from "../src/player/fmp4.ts";
import { box, words } from "./boxes.ts";

function trak(id: number, timescale: number): Uint8Array {
  return box("trak", box("tkhd", words(3, 0, 0, id, 0)), box("mdia", box("mdhd", words(0, 0, 0, timescale, 0))));
}

const NTP_EPOCH_S = 2_208_988_800;

function prft(track: number, unixMs: number, mediaTime: number): Uint8Array {
  const seconds = Math.floor(unixMs / 1000);
  const fraction = Math.round(((unixMs % 1000) / 1000) * 2 ** 32);
  return box("prft", words(0x01000001, track, seconds + NTP_EPOCH_S, fraction, 0, mediaTime));
}

const INIT = joined([box("ftyp", words(1, 2)), box("moov", box("mvhd", words(0)), trak(1, 90_000), trak(2, 48_000))]);
const MEDIA = joined([
  prft(1, 1_700_000_000_250, 900_000),
  box("moof", words(1, 2, 3)),
  box("mdat", new Uint8Array(5000).fill(112)),
  prft(1, 1_700_000_000_283, 903_000),
  box("moof", words(1, 2, 3)),
  box("mdat", new Uint8Array(300)),
]);

test("stamps are read out of a stream in pieces of any size", () => {
  const stream = joined([INIT, MEDIA]);
  for (const size of [1, 7, 31, 100, 4096, stream.length]) {
    const reader = new StampReader();
    const stamps = [];
    for (let at = 0; at < stream.length; at += size) stamps.push(...reader.push(stream.subarray(at, at + size)));
    assert.deepEqual(
      stamps.map(({ mediaS, unixMs }) => [mediaS.toFixed(4), Math.round(unixMs)]),
      [
        ["10.0000", 1_700_000_000_250],
        ["10.0333", 1_700_000_000_283],
      ],
      `pieces of ${size}`,
    );
  }
});

test("a new response begins anew, a new init section brings new timescales", () => {
  const reader = new StampReader();
  reader.push(joined([INIT, MEDIA]).subarray(0, 1000));
  reader.reset();
  const init = box("moov", trak(2, 48_000));
  assert.equal(reader.push(joined([init, prft(2, 1000, 96_000), box("moof")]))[0]?.mediaS, 2);
  assert.deepEqual(reader.push(joined([prft(1, 1000, 96_000), box("moof")])), []);
});

test("stamps tell where decoding can begin", () => {
  const video = (flags: number) => box("moof", box("traf", box("trun", words(0x1000f01, 1, 100, 3000, 40, flags, 0))));
  const sound = box("moof", box("traf", box("trun", words(0x1000301, 1, 100, 1024, 40))));
  const fragments = [video(0x2000000), video(0x1010000), sound].flatMap((moof, number) => [prft(1, 1000, number * 3000), moof]);
  const stamps = new StampReader().push(joined([INIT, ...fragments]));
  assert.deepEqual(stamps.map(({ isKey }) => isKey), [true, false, true]);
});

test("hostile bytes do not hang the reader", () => {
  const reader = new StampReader();
  assert.deepEqual(reader.push(new Uint8Array(64)), []);
  assert.deepEqual(reader.push(new Uint8Array(64).fill(255)), []);
});

test("live.mp4 lies beside the playlist, and the entry address is not asked for it", () => {
  assert.equal(liveUrl("http://a:1/v/tok/main/index.m3u8"), "http://a:1/v/tok/main/live.mp4");
  assert.equal(liveUrl("https://a/live/main/index.m3u8?jwt=t.o-k_"), "https://a/v/t.o-k_/main/live.mp4");
});

