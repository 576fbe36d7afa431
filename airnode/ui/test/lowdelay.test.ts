import assert from "node:assert/strict";
import { test } from "node:test";
import { joined } from "../src/player/fmp4.ts";
import { FragmentSplitter, type Piece } from "../src/player/lowdelay/fragments.ts";
import { SoundClock } from "../src/player/lowdelay/soundclock.ts";
import { SoundQueue } from "../src/player/lowdelay/soundqueue.ts";
import { box, words } from "./boxes.ts";

// ---- the splitter ------------------------------------------------------------------------------------------------

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

function trak(id: number, timescale: number, entry: Uint8Array): Uint8Array {
  const stbl = box("stbl", box("stsd", words(0, 1), entry));
  return box("trak", box("tkhd", words(3, 0, 0, id, 0)), box("mdia", box("mdhd", words(0, 0, 0, timescale, 0)), box("minf", stbl)));
}

const AVC = bytes(1, 0x4d, 0x40, 0x1f, 0xff);
const ASC = bytes(0x11, 0x90);
const ESDS = box("esds", words(0), bytes(3, 25, 0, 0, 0, 4, 17, 0x40, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 2), ASC);
const AUDIO_ENTRY = box("mp4a", bytes(0, 0, 0, 0, 0, 0, 0, 1), words(0, 0), bytes(0, 2, 0, 16, 0, 0, 0, 0), words(48_000 * 65_536), ESDS);
const VIDEO_ENTRY = box("avc1", new Uint8Array(78), box("avcC", AVC));
const INIT = joined([box("ftyp", words(1)), box("moov", box("mvhd", words(0)), trak(1, 90_000, VIDEO_ENTRY), trak(2, 48_000, AUDIO_ENTRY))]);

function fragment(): Uint8Array {
  const video = (offset: number) =>
    box("traf", box("tfhd", words(0x020000, 1)), box("tfdt", words(0x01000000, 0, 900_000)),
      box("trun", words(0x01000f01, 2, offset, 3_000, 5, 0x02000000, 6_000, 3_000, 3, 0x01010000, 0xfffff448)));
  const audio = (offset: number) =>
    box("traf", box("tfhd", words(0x020020, 2, 0x02000000)), box("tfdt", words(0x01000000, 0, 480_000)),
      box("trun", words(0x01000301, 1, offset, 1_024, 4)));
  const size = box("moof", box("mfhd", words(0, 1)), video(0), audio(0)).length;
  return joined([
    box("moof", box("mfhd", words(0, 1)), video(size + 8), audio(size + 16)),
    box("mdat", bytes(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)),
  ]);
}

const TYPE = 'video/mp4; codecs="avc1.4d401f,mp4a.40.2"';

test("tracks and samples come out of a stream in pieces of any size", () => {
  const stream = joined([INIT, fragment(), box("free", words(7)), fragment()]);
  for (const size of [1, 7, 100, stream.length]) {
    const splitter = new FragmentSplitter(TYPE);
    const pieces: Piece[] = [];
    for (let at = 0; at < stream.length; at += size) pieces.push(...splitter.push(stream.subarray(at, at + size)));
    assert.deepEqual(pieces.map(({ kind }) => kind), ["init", "samples", "samples"]);
    const [init, samples] = pieces as [Extract<Piece, { kind: "init" }>, Extract<Piece, { kind: "samples" }>];
    assert.deepEqual(
      init.tracks.map(({ kind, codec, timescale, description }) => [kind, codec, timescale, description && [...description]]),
      [
        ["video", "avc1.4d401f", 90_000, [...AVC]],
        ["audio", "mp4a.40.2", 48_000, [...ASC]],
      ],
    );
    assert.deepEqual([init.tracks[1]!.sampleRate, init.tracks[1]!.channels], [48_000, 2]);
    assert.deepEqual(
      samples.samples.map(({ kind, presentedS, key, data }) => [kind, presentedS.toFixed(4), key, [...data]]),
      [
        ["video", "10.0667", true, [1, 2, 3, 4, 5]],
        ["video", "10.0000", false, [6, 7, 8]],
        ["audio", "10.0000", true, [9, 10, 11, 12]],
      ],
    );
  }
});

test("what is no MP4 is refused, and does not hang", () => {
  assert.throws(() => new FragmentSplitter(TYPE).push(new Uint8Array(64)), RangeError);
  assert.throws(() => new FragmentSplitter(TYPE).push(new Uint8Array(64).fill(255)), RangeError);
});

// ---- the sound's buffer ------------------------------------------------------------------------------------------

const RATE = 48_000;
const PACKET_S = 1024 / RATE;
const BLOCK = 128;

/** Plays `seconds`; packets arrive as late as `lateS` says. Returns the depth at each 10 ms, and when nothing played. */
function play(queue: SoundQueue, seconds: number, lateS: (mediaS: number) => number, fromS = 0) {
  const [depths, silent]: [number[], number[]] = [[], []];
  let [pushedS, lastS] = [fromS, -Infinity];
  const out = [new Float32Array(BLOCK)];
  for (let block = 0; block * BLOCK < seconds * RATE; block += 1) {
    const nowS = fromS + (block * BLOCK) / RATE;
    for (; (lastS = Math.max(lastS, pushedS + PACKET_S + lateS(pushedS))) <= nowS; pushedS += PACKET_S) {
      queue.push([new Float32Array(1024).fill(0.5)], pushedS);
    }
    queue.read(out);
    if (block % 4 === 0) depths.push(queue.depthS);
    if (!queue.playing) silent.push(nowS);
  }
  return { depths, silent };
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

test("steady packets are held in a few hundredths of a second, without a gap", () => {
  const queue = new SoundQueue(RATE);
  const { depths, silent } = play(queue, 20, () => 0);
  assert.ok(median(depths.slice(500)) < 0.045, `${median(depths.slice(500))}`);
  assert.ok(silent.every((at) => at < 0.2), "only before it began");
  assert.equal(queue.underruns, 0);
});

test("jitter makes it deeper until nothing is missing", () => {
  const queue = new SoundQueue(RATE);
  let seed = 3;
  const jitter = () => ((seed = (seed * 16807) % 2147483647) / 2147483647) * 0.06;
  play(queue, 20, jitter);
  const before = queue.underruns;
  const { depths } = play(queue, 20, jitter, 100);
  assert.ok(queue.underruns - before <= 1, `${before} ${queue.underruns}`);
  assert.ok(median(depths) < 0.15, `${median(depths)}`);
});

test("after a stall of a second the depth is what it was within half a second", () => {
  const queue = new SoundQueue(RATE);
  const { depths } = play(queue, 20, (mediaS) => (mediaS >= 10 && mediaS < 11 ? 11 - mediaS : 0));
  const perS = RATE / BLOCK / 4;
  const before = median(depths.slice(8 * perS, 10 * perS));
  const after = depths.slice(11.25 * perS, 13 * perS);
  assert.ok(Math.max(...after) < before + 0.03, `${before} ${Math.max(...after)}`);
  assert.equal(queue.underruns, 0, "a stall is no underrun");
});

test("its clock is the media time of what is read", () => {
  const queue = new SoundQueue(RATE);
  assert.equal(queue.mediaS, null);
  for (let index = 0; index < 4; index += 1) queue.push([new Float32Array(1024)], 5 + index * PACKET_S);
  queue.read([new Float32Array(BLOCK)]);
  assert.ok(Math.abs(queue.mediaS! - 5 - BLOCK / RATE) < 0.0001);
  queue.clear();
  assert.equal(queue.mediaS, null);
});

test("mono is heard on both sides", () => {
  const queue = new SoundQueue(RATE);
  for (let index = 0; index < 4; index += 1) queue.push([new Float32Array(1024).fill(0.25)], index * PACKET_S);
  const out = [new Float32Array(BLOCK), new Float32Array(BLOCK)];
  queue.read(out);
  assert.equal(out[1]![BLOCK - 1], 0.25);
});

// ---- the sound's clock -------------------------------------------------------------------------------------------

test("the report that came fastest counts, less the output's latency", () => {
  const clock = new SoundClock();
  assert.equal(clock.heardS(0), null);
  for (let ms = 0; ms <= 300; ms += 20) clock.report(ms + (ms % 60 === 0 ? 1 : 15), 10 + ms / 1000);
  clock.outputLatencyS = 0.02;
  assert.ok(Math.abs(clock.heardS(400)! - (10.4 - 0.001 - 0.02)) < 0.0005, `${clock.heardS(400)}`);
});

test("a cut moves it at once; silence and lost reports end it", () => {
  const clock = new SoundClock();
  clock.report(0, 10);
  clock.report(20, 11);
  assert.ok(Math.abs(clock.heardS(20)! - 11) < 0.0001);
  assert.equal(clock.heardS(600), null);
  clock.report(620, 12);
  clock.report(640, null);
  assert.equal(clock.heardS(640), null);
});
