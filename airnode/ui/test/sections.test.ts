import assert from "node:assert/strict";
import { test } from "node:test";
import type { HlsConfig, LoaderConfiguration, PlaylistLoaderContext } from "hls.js";
import { DividedPlaylist } from "../src/player/dividedplaylist.ts";
import { joined } from "../src/player/fmp4.ts";
import type { HlsClass } from "../src/player/hls.ts";
import { initsOf, placeOf, playlistLengthS, sectionsOf, tracksOf } from "../src/player/sections.ts";
import { box, words } from "./boxes.ts";

const HEADER = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MEDIA-SEQUENCE:0\n";
const SOUND = '#EXT-X-MAP:URI="init0.mp4"\n#EXT-X-PROGRAM-DATE-TIME:2026-11-30T10:00:00.000Z\n#EXTINF:2.00000,\nseg0.mp4\n#EXTINF:1.5,\nseg1.mp4\n';
const BOTH = '#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="init1.mp4"\n#EXTINF:2.00000,\nseg2.mp4\n';
const LARGER = '#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="init2.mp4"\n#EXTINF:1.00000,\nseg3.mp4\n';
const SOUND_AGAIN = '#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="init0.mp4"\n#EXTINF:0.50000,\nseg4.mp4\n';
const END = "#EXT-X-ENDLIST\n";

/** A loader of hls.js that has a playlist at once. */
class Whole {
  load(_context: unknown, _config: unknown, callbacks: { onSuccess: (response: { data: string }) => void }): void {
    callbacks.onSuccess({ data: HEADER + SOUND + BOTH + END });
  }
}

function tracks(uri: string): string {
  return uri === "init0.mp4" ? "soun" : "soun,vide";
}

function trak(handler: string): Uint8Array {
  const kind = new TextEncoder().encode(handler);
  return box("trak", box("tkhd", words(0, 0, 0, 1)), box("mdia", box("mdhd", words(0, 0, 0, 1000)), box("hdlr", words(0, 0), kind, words(0, 0, 0))));
}

test("a playlist's length is the sum of its segments", () => {
  const playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.00000,\nseg0.mp4\n#EXT-X-DISCONTINUITY\n#EXTINF:1.5,\nseg1.mp4\n";
  assert.equal(playlistLengthS(playlist), 3.5);
  assert.equal(playlistLengthS("#EXTM3U\n"), 0);
});

test("an initialization section says which tracks there are", () => {
  const init = (...handlers: string[]) => joined([box("ftyp", words(0)), box("moov", box("mvhd", words(0)), ...handlers.map(trak))]);
  assert.equal(tracksOf(init("vide", "soun")), "soun,vide");
  assert.equal(tracksOf(init("soun")), "soun");
  assert.equal(tracksOf(init("vide", "meta")), "vide");
  assert.equal(tracksOf(new Uint8Array(20)), "");
});

test("the same tracks throughout are one section, whose playlist is unchanged", () => {
  for (const text of [HEADER + SOUND + SOUND_AGAIN + END, HEADER + BOTH + LARGER, HEADER + SOUND]) {
    assert.deepEqual(sectionsOf(text, tracks), [
      { startS: 0, durationS: playlistLengthS(text), text, complete: text.endsWith(END) },
    ]);
  }
});

test("a new section begins where the tracks change, and not where only the picture's size does", () => {
  const text = HEADER + SOUND + BOTH + LARGER + SOUND_AGAIN;
  assert.deepEqual(initsOf(text), ["init0.mp4", "init1.mp4", "init2.mp4"]);
  assert.deepEqual(sectionsOf(text, tracks), [
    { startS: 0, durationS: 3.5, text: HEADER + SOUND + END, complete: true },
    { startS: 3.5, durationS: 3, text: HEADER + BOTH + LARGER + END, complete: true },
    { startS: 6.5, durationS: 0.5, text: HEADER + SOUND_AGAIN, complete: false },
  ]);
});

test("a recording that grows keeps its sections", () => {
  const before = sectionsOf(HEADER + SOUND + BOTH, tracks);
  const after = sectionsOf(HEADER + SOUND + BOTH + LARGER + SOUND_AGAIN + END, tracks);
  assert.deepEqual(before[0], after[0]);
  assert.deepEqual([before[1]!.complete, before[1]!.startS], [false, after[1]!.startS]);
  assert.ok(after[1]!.text.startsWith(before[1]!.text));
});

test("a position lies in the section that begins there or before", () => {
  const sections = sectionsOf(HEADER + SOUND + BOTH + LARGER + SOUND_AGAIN, tracks);
  assert.deepEqual(placeOf(sections, 0), { index: 0, insideS: 0 });
  assert.deepEqual(placeOf(sections, 3.4), { index: 0, insideS: 3.4 });
  assert.deepEqual(placeOf(sections, 3.5), { index: 1, insideS: 0 });
  assert.deepEqual(placeOf(sections, 90), { index: 2, insideS: 83.5 });
  assert.deepEqual(placeOf([], 12), { index: 0, insideS: 12 });
});

test("an initialization section that is gone is an answer, and one that is not reached is none", async () => {
  const codeOf = async (answer: () => Promise<Response>) => {
    globalThis.fetch = answer as typeof fetch;
    const playlist = new DividedPlaylist(new AbortController().signal);
    const Hls = { DefaultConfig: { loader: Whole } } as unknown as HlsClass;
    const Loader = playlist.loader(Hls, 0, () => "http://node.test/index.m3u8");
    const loader = new Loader({} as HlsConfig);
    return new Promise((resolve) => {
      const callbacks = { onSuccess: () => resolve("read"), onError: ({ code }: { code: number }) => resolve(code), onTimeout: () => undefined };
      loader.load({} as PlaylistLoaderContext, {} as LoaderConfiguration, callbacks);
    });
  };
  const whole = globalThis.fetch;
  try {
    assert.equal(await codeOf(async () => new Response(null, { status: 404 })), 404);
    assert.equal(await codeOf(async () => new Response(null, { status: 403 })), 403);
    assert.equal(await codeOf(() => Promise.reject(new TypeError("unreachable"))), 0);
    assert.equal(await codeOf(async () => new Response(new Uint8Array(20))), "read");
  } finally {
    globalThis.fetch = whole;
  }
});
