/** The times in a live stream: the presentation time of a fragment, and when it reached the server. */
export interface Stamp {
  /** Presentation time, in seconds. */
  mediaS: number;
  /** Decoding can begin with this fragment. */
  isKey: boolean;
  /** When it came in, unix ms by the server's clock. */
  unixMs: number;
}

const NTP_EPOCH_MS = 2_208_988_800_000;
const HEADER = 8;
const PRFT_BYTES = 32;
/** Boxes that are read; all others are skipped. */
const READ = new Set(["moov", "prft", "moof"]);
/** trun: its sample flags are present; of a sample: it depends on others. */
const SAMPLE_FLAGS = 0x400;
const NON_SYNC = 0x10000;
const MOST_READ_BYTES = 1 << 20;

/**
 * Reads `moov`, `prft` and `moof` boxes (ISO/IEC 14496-12) out of a stream that comes in any pieces.
 *
 * Only top-level boxes are parsed, and media data is never copied.
 */
export class StampReader {
  #held: Uint8Array = new Uint8Array(0);
  #skip = 0;
  readonly #timescales = new Map<number, number>();
  /** The stamp of the fragment whose `moof` comes next. */
  #stamp: Stamp | null = null;

  /** A new response begins. */
  reset(): void {
    this.#held = new Uint8Array(0);
    this.#skip = 0;
    this.#stamp = null;
  }

  /** The stamps that this piece completes. */
  push(piece: Uint8Array): Stamp[] {
    const found: Stamp[] = [];
    let rest = this.#held.length > 0 ? joined([this.#held, piece]) : piece;
    for (;;) {
      const skipped = Math.min(this.#skip, rest.length);
      this.#skip -= skipped;
      rest = rest.subarray(skipped);
      if (this.#skip > 0 || rest.length < HEADER) break;
      const view = viewOf(rest);
      const size = view.getUint32(0);
      if (size < HEADER) break; // our server sends no such box; the source buffer reports the error
      const kind = kindOf(rest);
      if (!READ.has(kind) || size > MOST_READ_BYTES) {
        this.#skip = size;
        continue;
      }
      if (rest.length < size) break;
      const box = rest.subarray(0, size);
      if (kind === "moov") this.#readTimescales(box);
      else if (kind === "prft") this.#readStamp(box);
      else if (this.#stamp) {
        found.push({ ...this.#stamp, isKey: beginsWithKey(box) });
        this.#stamp = null;
      }
      this.#skip = size;
    }
    this.#held = rest.length > 0 ? rest.slice() : rest;
    return found;
  }

  #readStamp(box: Uint8Array): void {
    const view = viewOf(box);
    const timescale = this.#timescales.get(box.length >= PRFT_BYTES ? view.getUint32(12) : 0);
    if (!timescale || view.getUint8(8) !== 1) return;
    const unixMs = view.getUint32(16) * 1000 + (view.getUint32(20) / 2 ** 32) * 1000 - NTP_EPOCH_MS;
    this.#stamp = { mediaS: Number(view.getBigUint64(24)) / timescale, unixMs, isKey: false };
  }

  #readTimescales(moov: Uint8Array): void {
    this.#timescales.clear();
    for (const trak of children(moov, "trak")) {
      const tkhd = children(trak, "tkhd")[0];
      const mdhd = children(children(trak, "mdia")[0], "mdhd")[0];
      if (!tkhd || !mdhd) continue;
      this.#timescales.set(afterTimes(tkhd), afterTimes(mdhd));
    }
  }
}

/** Whether the first sample of a fragment with its own flags depends on no other; all samples of sound are so. */
function beginsWithKey(moof: Uint8Array): boolean {
  for (const traf of children(moof, "traf")) {
    const trun = children(traf, "trun")[0];
    if (!trun || trun.length < HEADER + 24) continue;
    const view = viewOf(trun);
    // Behind the header: version and flags, sample count, data offset; duration, size and flags of the first sample.
    if (view.getUint32(HEADER) & SAMPLE_FLAGS) return (view.getUint32(HEADER + 20) & NON_SYNC) === 0;
  }
  return true;
}

/** The word behind creation and modification time: tkhd's track id, mdhd's timescale. */
function afterTimes(box: Uint8Array): number {
  const view = viewOf(box);
  return view.getUint32(HEADER + 4 + (view.getUint8(HEADER) === 1 ? 16 : 8));
}

/** The boxes of one kind in a box; `from`: where the boxes in it begin. */
export function children(box: Uint8Array | undefined, kind: string, from = HEADER): Uint8Array[] {
  const found: Uint8Array[] = [];
  if (!box) return found;
  for (let at = from; at + HEADER <= box.length; ) {
    const rest = box.subarray(at);
    const size = viewOf(rest).getUint32(0);
    if (size < HEADER) break;
    if (kindOf(rest) === kind) found.push(rest.subarray(0, size));
    at += size;
  }
  return found;
}

export function kindOf(box: Uint8Array): string {
  return String.fromCharCode(box[4]!, box[5]!, box[6]!, box[7]!);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
