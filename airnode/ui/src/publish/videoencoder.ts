import { chooseCodec, videoConfig } from "./encoderconfig.ts";
import { configMessage, videoMessage } from "./framing.ts";
import type { Rung } from "./ladder.ts";
import { bytesOf } from "./sound.ts";

/** So many pictures wait in the encoder before it counts as too slow. */
const MOST_QUEUED = 2;
/** A change of the bit rate below this part is not worth a new configuration. */
const LEAST_CHANGE = 0.04;

export interface VideoEvents {
  /** A message for the node, with a frame or its configuration. */
  message(message: Uint8Array<ArrayBuffer>): void;
  /** The browser encodes no H.264, or not any more. */
  failed(): void;
}

/** Encodes pictures as H.264, without pictures that refer to later ones. */
export class PictureEncoder {
  readonly #events: VideoEvents;
  readonly #failedCodecs = new Set<string>();
  #encoder: VideoEncoder | null = null;
  #rung: Rung | null = null;
  #bitrateBps = 0;
  #record: Uint8Array<ArrayBuffer> | null = null;
  #wantsKey = true;
  #keyUs = Number.NEGATIVE_INFINITY;
  #opening = false;
  keyIntervalS = 2;

  constructor(events: VideoEvents) {
    this.#events = events;
  }

  /** The next frame is a key frame. */
  wantKey(): void {
    this.#wantsKey = true;
  }

  /** The decoder's configuration, for a new connection. */
  get configuration(): Uint8Array<ArrayBuffer> | null {
    return this.#record;
  }

  /** Change size, frame rate or bit rate. */
  async aim(rung: Rung, bitrateBps: number): Promise<void> {
    const before = this.#rung;
    const resized = rung.width !== before?.width || rung.height !== before.height;
    const isSame = !resized && rung.frameRate === before.frameRate;
    if (isSame && Math.abs(bitrateBps - this.#bitrateBps) < this.#bitrateBps * LEAST_CHANGE) return;
    this.#rung = rung;
    this.#bitrateBps = bitrateBps;
    // A new size gets a new encoder: Chromium's keeps parameter sets of the size before in the decoder's configuration.
    if (resized) this.#closeEncoder();
    await this.#configure();
  }

  /** Encode a picture and close it. Returns false when it was left out, because the encoder is too slow. */
  encode(picture: VideoFrame, timestampUs: number): boolean {
    const encoder = this.#encoder;
    const rung = this.#rung;
    const wrongSize = rung !== null && (picture.displayWidth !== rung.width || picture.displayHeight !== rung.height);
    if (!encoder || encoder.state !== "configured" || wrongSize || encoder.encodeQueueSize > MOST_QUEUED) {
      picture.close();
      return false;
    }
    const frame = new VideoFrame(picture, { timestamp: timestampUs });
    picture.close();
    const keyFrame = this.#wantsKey || timestampUs - this.#keyUs >= this.keyIntervalS * 1e6;
    if (keyFrame) {
      this.#keyUs = timestampUs;
      this.#wantsKey = false;
    }
    encoder.encode(frame, { keyFrame });
    frame.close();
    return true;
  }

  close(): void {
    this.#closeEncoder();
    this.#rung = null;
  }

  #closeEncoder(): void {
    if (this.#encoder && this.#encoder.state !== "closed") this.#encoder.close();
    this.#encoder = null;
    this.#wantsKey = true;
  }

  async #configure(): Promise<void> {
    if (this.#opening) return;
    this.#opening = true;
    try {
      for (let rung = this.#rung; rung; rung = this.#rung === rung ? null : this.#rung) {
        const codec = await chooseCodec(rung, this.#failedCodecs);
        if (!this.#rung) return;
        if (codec === null) return this.#events.failed();
        this.#encoder ??= this.#open(codec);
        this.#encoder.configure(videoConfig(codec, this.#rung, this.#bitrateBps));
      }
    } finally {
      this.#opening = false;
    }
  }

  #open(codec: string): VideoEncoder {
    const encoder = new VideoEncoder({
      output: (chunk, metadata) => this.#output(chunk, metadata?.decoderConfig),
      error: () => {
        // Hardware fails, such as after a sleep: another profile may use other hardware, or none.
        if (this.#record === null) this.#failedCodecs.add(codec);
        this.#encoder = null;
        this.#record = null;
        this.#wantsKey = true;
        void this.#configure();
      },
    });
    return encoder;
  }

  #output(chunk: EncodedVideoChunk, decoder: VideoDecoderConfig | undefined): void {
    if (decoder?.description) {
      const record = configMessage("avc", bytesOf(decoder.description));
      if (!same(record, this.#record)) {
        this.#record = record;
        this.#events.message(record);
      }
    }
    this.#events.message(videoMessage(chunk, chunk.timestamp, chunk.type === "key"));
  }
}

function same(a: Uint8Array, b: Uint8Array | null): boolean {
  return b !== null && a.length === b.length && a.every((byte, index) => byte === b[index]);
}
