import { children, kindOf } from "./fmp4.ts";

/**
 * A stretch of a recording in which the tracks stay the same.
 *
 * A MediaSource that plays cannot get or lose a track, so each section is played by a MediaSource of its own.
 */
export interface Section {
  /** Where it begins in the recording, and its length, in seconds. */
  startS: number;
  durationS: number;
  /** Its own media playlist. */
  text: string;
  /** Nothing is added to it any more. */
  complete: boolean;
}

const EXTINF = /^#EXTINF:([\d.]+)/;
const MAP = /^#EXT-X-MAP:.*URI="([^"]+)"/;
const END = "#EXT-X-ENDLIST";
const HANDLERS = new Set(["vide", "soun"]);
/** Tags of the playlist itself; all others belong to the segment behind them. */
const HEADER = /^#(EXTM3U|EXT-X-(VERSION|TARGETDURATION|PLAYLIST-TYPE|MEDIA-SEQUENCE|INDEPENDENT-SEGMENTS|START|SERVER-CONTROL)\b)/;

/** How long a media playlist is, in seconds. */
export function playlistLengthS(text: string): number {
  return text.split("\n").reduce((sum, line) => sum + Number(EXTINF.exec(line)?.[1] ?? 0), 0);
}

/** The initialization sections that a media playlist names, each once. */
export function initsOf(text: string): string[] {
  return [...new Set(text.split("\n").flatMap((line) => MAP.exec(line)?.[1] ?? []))];
}

/** The kinds of the tracks in an initialization section: "soun", "vide" or "soun,vide". */
export function tracksOf(init: Uint8Array): string {
  const found = new Set<string>();
  for (let at = 0; at + 8 <= init.length; ) {
    const box = init.subarray(at);
    const size = new DataView(box.buffer, box.byteOffset).getUint32(0);
    if (size < 8) break;
    if (kindOf(box) === "moov") {
      for (const trak of children(box.subarray(0, size), "trak")) {
        const hdlr = children(children(trak, "mdia")[0], "hdlr")[0];
        const kind = hdlr && hdlr.length >= 20 ? kindOf(hdlr.subarray(12)) : "";
        if (HANDLERS.has(kind)) found.add(kind);
      }
    }
    at += size;
  }
  return [...found].sort().join();
}

/**
 * Divide the media playlist of a recording where its tracks change.
 *
 * `tracks`: what {@link tracksOf} says of an initialization section. A recording that grows only gets longer, so sections
 * keep their numbers, and the segments in them too.
 */
export function sectionsOf(text: string, tracks: (uri: string) => string): Section[] {
  const lines = text.split("\n").filter((line) => line !== "");
  const header = lines.filter((line) => HEADER.test(line));
  const ended = lines.includes(END);
  const found: { startS: number; durationS: number; tracks: string; lines: string[] }[] = [];
  let [atS, waiting, durationS, kinds] = [0, [] as string[], 0, ""];
  for (const line of lines) {
    if (HEADER.test(line) || line === END) continue;
    waiting.push(line);
    const map = MAP.exec(line);
    if (map) kinds = tracks(map[1]!);
    durationS = Number(EXTINF.exec(line)?.[1] ?? durationS);
    if (line.startsWith("#")) continue;
    let last = found.at(-1);
    if (!last || last.tracks !== kinds) found.push((last = { startS: atS, durationS: 0, tracks: kinds, lines: [] }));
    last.lines.push(...waiting);
    last.durationS += durationS;
    atS += durationS;
    [waiting, durationS] = [[], 0];
  }
  return found.map(({ startS, durationS: lengthS, lines: own }, index) => {
    const complete = ended || index < found.length - 1;
    const body = [...header, ...own, ...(complete ? [END] : [])];
    return { startS, durationS: lengthS, text: `${body.join("\n")}\n`, complete };
  });
}

/** In which section a position of the recording is, and how far in it, in seconds. */
export function placeOf(sections: readonly Section[], positionS: number): { index: number; insideS: number } {
  const index = Math.max(0, sections.findLastIndex(({ startS }) => startS <= positionS));
  return { index, insideS: Math.max(0, positionS - (sections[index]?.startS ?? 0)) };
}
