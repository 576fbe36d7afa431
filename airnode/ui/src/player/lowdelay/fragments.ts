import { children, joined, kindOf, viewOf } from "../fmp4.ts";

/** A track as the decoders of WebCodecs take it. */
export interface Track {
  id: number;
  kind: "video" | "audio";
  timescale: number;
  codec: string;
  /** The codec's configuration record; none: it stands in the stream. */
  description: Uint8Array | null;
  sampleRate: number;
  channels: number;
}

/** One coded frame. Times in seconds. */
export interface Sample {
  kind: "video" | "audio";
  presentedS: number;
  durationS: number;
  key: boolean;
  data: Uint8Array;
}

export type Piece = { kind: "init"; tracks: Track[] } | { kind: "samples"; samples: Sample[] };

const HEADER_BYTES = 8;
const MOST_BOX_BYTES = 32 << 20;
/** Bytes of a sample entry before the boxes inside of it (ISO/IEC 14496-12 12.1.3, 12.2.3). */
const VIDEO_ENTRY_BYTES = 86;
const AUDIO_ENTRY_BYTES = 36;
const NON_SYNC = 0x10000;

/** Splits a stream of fragmented MP4 (ISO/IEC 14496-12), in pieces of any size, into tracks and samples. */
export class FragmentSplitter {
  readonly #codecs: string[];
  #held: Uint8Array = new Uint8Array(0);
  #tracks = new Map<number, Track>();
  #moof: Uint8Array | null = null;

  /** `contentType` names the codecs. */
  constructor(contentType: string) {
    this.#codecs = /codecs="([^"]*)"/.exec(contentType)?.[1]?.split(",").map((codec) => codec.trim()) ?? [];
  }

  /** What this piece completes. Throws RangeError for what is no fragmented MP4. */
  push(piece: Uint8Array): Piece[] {
    const found: Piece[] = [];
    let rest = this.#held.length > 0 ? joined([this.#held, piece]) : piece;
    while (rest.length >= HEADER_BYTES) {
      const size = viewOf(rest).getUint32(0);
      if (size < HEADER_BYTES || size > MOST_BOX_BYTES) throw new RangeError(`a box of ${size} bytes`);
      if (rest.length < size) break;
      this.#take(rest.subarray(0, size), found);
      rest = rest.subarray(size);
    }
    this.#held = rest.slice();
    return found;
  }

  #take(box: Uint8Array, found: Piece[]): void {
    const kind = kindOf(box);
    if (kind === "moov") {
      const tracks = children(box, "trak").flatMap((trak) => this.#track(trak) ?? []);
      this.#tracks = new Map(tracks.map((track) => [track.id, track]));
      found.push({ kind: "init", tracks });
    } else if (kind === "moof") {
      this.#moof = box.slice();
    } else if (kind === "mdat" && this.#moof) {
      found.push({ kind: "samples", samples: samplesOf(this.#moof, box, this.#tracks) });
      this.#moof = null;
    }
  }

  #track(trak: Uint8Array): Track | null {
    const tkhd = children(trak, "tkhd")[0];
    const mdia = children(trak, "mdia")[0];
    const mdhd = children(mdia, "mdhd")[0];
    const stsd = children(children(children(mdia, "minf")[0], "stbl")[0], "stsd")[0];
    if (!tkhd || !mdhd || !stsd || stsd.length < 16 + HEADER_BYTES) return null;
    const entry = stsd.subarray(16);
    const name = kindOf(entry);
    const isAudio = name === "mp4a" || name === "Opus";
    const record = isAudio ? asc(children(entry, "esds", AUDIO_ENTRY_BYTES)[0]) : configuration(entry);
    return {
      id: word(tkhd, 12),
      kind: isAudio ? "audio" : "video",
      timescale: word(mdhd, 12),
      codec: this.#codecs.find((codec) => /^(mp4a|opus)/i.test(codec) === isAudio) ?? "",
      description: record,
      sampleRate: isAudio ? viewOf(entry).getUint32(32) >>> 16 || word(mdhd, 12) : 0,
      channels: isAudio ? viewOf(entry).getUint16(24) : 0,
    };
  }
}

/** A field that lies behind creation and modification time, which version 1 of a box has in 64 bits. */
function word(box: Uint8Array, at: number): number {
  const view = viewOf(box);
  return view.getUint32(view.getUint8(8) === 1 ? at + 8 + HEADER_BYTES : at + HEADER_BYTES);
}

function configuration(entry: Uint8Array): Uint8Array | null {
  for (const kind of ["avcC", "hvcC", "av1C"]) {
    const box = children(entry, kind, VIDEO_ENTRY_BYTES)[0];
    if (box) return box.slice(HEADER_BYTES);
  }
  return null;
}

/** The AudioSpecificConfig in an `esds` box (ISO/IEC 14496-1 7.2.6): the descriptor with tag 5. */
function asc(esds: Uint8Array | undefined): Uint8Array | null {
  if (!esds) return null;
  for (let at = 12; at < esds.length; ) {
    const tag = esds[at++];
    let [size, byte] = [0, 0];
    do {
      byte = esds[at++] ?? 0;
      size = (size << 7) | (byte & 127);
    } while (byte & 128);
    if (tag === 5) return esds.slice(at, at + size);
    at += tag === 3 ? 3 : tag === 4 ? 13 : size;
  }
  return null;
}

function samplesOf(moof: Uint8Array, mdat: Uint8Array, tracks: ReadonlyMap<number, Track>): Sample[] {
  const samples: Sample[] = [];
  for (const traf of children(moof, "traf")) {
    const [tfhd, tfdt, trun] = [children(traf, "tfhd")[0], children(traf, "tfdt")[0], children(traf, "trun")[0]];
    const track = tfhd && tracks.get(viewOf(tfhd).getUint32(12));
    if (!track || !tfdt || !trun) continue;
    const run = viewOf(trun);
    const flags = run.getUint32(8) & 0xffffff;
    let time = viewOf(tfdt).getUint8(8) === 1 ? Number(viewOf(tfdt).getBigUint64(12)) : viewOf(tfdt).getUint32(12);
    let [at, offset] = [16, flags & 0x1 ? run.getInt32(16) - moof.length : HEADER_BYTES];
    if (flags & 0x1) at += 4;
    if (flags & 0x4) at += 4;
    const next = (flag: number) => (flags & flag ? run.getUint32((at += 4) - 4) : null);
    for (let count = run.getUint32(12); count > 0; count -= 1) {
      const duration = next(0x100) ?? 0;
      const size = next(0x200) ?? 0;
      const sampleFlags = next(0x400) ?? 0;
      const compositionOffset = (next(0x800) ?? 0) | 0;
      samples.push({
        kind: track.kind,
        presentedS: (time + compositionOffset) / track.timescale,
        durationS: duration / track.timescale,
        key: track.kind === "audio" || (sampleFlags & NON_SYNC) === 0,
        data: mdat.subarray(offset, offset + size),
      });
      offset += size;
      time += duration;
    }
  }
  return samples;
}
