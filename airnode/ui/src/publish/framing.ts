/**
 * The messages between a publishing browser and its node (docs/browser-ingest.md).
 *
 * One binary message is a configuration or one encoded frame; timestamps are microseconds of one clock for both tracks.
 */

const CONFIG = 1;
const VIDEO = 2;
const AUDIO = 3;
const HEADER_BYTES = 8;
const CODECS = { avc: 1, aac: 16, opus: 17 } as const;

/** The WebSocket subprotocol: version 1. */
export const PROTOCOL = "airnode.publish.v1";

export type PublishCodec = keyof typeof CODECS;
type Bytes = Uint8Array<ArrayBuffer>;

/** Something with bytes to copy out, as EncodedVideoChunk and EncodedAudioChunk are. */
export interface Chunk {
  readonly byteLength: number;
  copyTo(destination: AllowSharedBufferSource): void;
}

/** Return the message of a decoder configuration. */
export function configMessage(codec: PublishCodec, record: Uint8Array): Bytes {
  const message = new Uint8Array(2 + record.byteLength);
  message[0] = CONFIG;
  message[1] = CODECS[codec];
  message.set(record, 2);
  return message;
}

/** Return the message of an encoded video frame. */
export function videoMessage(chunk: Chunk, timestampUs: number, key: boolean): Bytes {
  return frameMessage(VIDEO, key ? 1 : 0, chunk, timestampUs);
}

/** Return the message of an encoded audio frame. */
export function audioMessage(chunk: Chunk, timestampUs: number): Bytes {
  return frameMessage(AUDIO, 0, chunk, timestampUs);
}

function frameMessage(kind: number, flags: number, chunk: Chunk, timestampUs: number): Bytes {
  const message = new Uint8Array(HEADER_BYTES + chunk.byteLength);
  const view = new DataView(message.buffer);
  const at = Math.max(0, Math.round(timestampUs));
  view.setUint8(0, kind);
  view.setUint8(1, flags);
  view.setUint16(2, Math.floor(at / 2 ** 32));
  view.setUint32(4, at % 2 ** 32);
  chunk.copyTo(message.subarray(HEADER_BYTES));
  return message;
}

export type ServerMessage =
  | { type: "accepted"; room: string; key_frame_interval_s: number; grace_s: number }
  | { type: "ack"; messages: number; bytes: number }
  | { type: "key_frame"; reason: string }
  | { type: "remark"; code: string; detail: string }
  | { type: "refused"; code: string; detail: string; status: number; retry_after_s?: number | null };

const TYPES = new Set(["accepted", "ack", "key_frame", "remark", "refused"]);

/** Return a message of the server; null: this version of the page does not know it. */
export function parseServerMessage(text: string): ServerMessage | null {
  try {
    const message: unknown = JSON.parse(text);
    const type = typeof message === "object" && message !== null && "type" in message ? message.type : null;
    return typeof type === "string" && TYPES.has(type) ? (message as ServerMessage) : null;
  } catch {
    return null;
  }
}

/** Return an AudioSpecificConfig for AAC-LC (ISO 14496-3 1.6.2.1), for encoders that give none. */
export function aacRecord(sampleRate: number, channels: number): Bytes {
  const rates = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000];
  const index = rates.indexOf(sampleRate);
  if (index < 0) throw new RangeError(`AAC has no sample rate of ${sampleRate} Hz`);
  return new Uint8Array([(2 << 3) | (index >> 1), ((index & 1) << 7) | (channels << 3)]);
}

/** Return the body of a dOps box (Opus in ISOBMFF 4.3.2): made of the OpusHead that the encoder gives, if it gives one. */
export function opusRecord(head: Uint8Array | null, channels: number): Bytes {
  const record = new Uint8Array(11);
  const view = new DataView(record.buffer);
  const given = head && head.byteLength >= 19 ? new DataView(head.buffer, head.byteOffset, head.byteLength) : null;
  view.setUint8(1, given ? given.getUint8(9) : channels);
  view.setUint16(2, given ? given.getUint16(10, true) : 312);
  view.setUint32(4, given ? given.getUint32(12, true) : 48_000);
  view.setInt16(8, given ? given.getInt16(16, true) : 0);
  return record;
}
