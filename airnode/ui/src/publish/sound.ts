import { chooseSound, SOUND_CHANNELS, SOUND_RATE } from "./encoderconfig.ts";
import { aacRecord, audioMessage, configMessage, opusRecord } from "./framing.ts";
import type { Samples } from "./messages.ts";
import { Increasing, SourceClock } from "./sourceclock.ts";

const SAMPLE_US = 1e6 / SOUND_RATE;
/** So many batches wait for the encoder before some are left out. */
const MOST_QUEUED = 50;

export interface SoundEvents {
  /** A message for the node, with sound or its configuration. */
  message(message: Uint8Array<ArrayBuffer>): void;
}

/** Encodes the mixed sound: AAC where the browser has it, else Opus. */
export class SoundEncoder {
  readonly #events: SoundEvents;
  readonly #nowUs: () => number;
  readonly #clock = new SourceClock();
  readonly #increasing = new Increasing();
  #encoder: AudioEncoder | null = null;
  #config: AudioEncoderConfig | null = null;
  #record: Uint8Array<ArrayBuffer> | null = null;
  #samples = 0;
  /** From the count of samples to the page's clock. */
  #offsetUs = 0;

  constructor(nowUs: () => number, events: SoundEvents) {
    this.#nowUs = nowUs;
    this.#events = events;
  }

  async open(): Promise<void> {
    this.#config = await chooseSound();
    this.#start();
  }

  /** The decoder's configuration, for a new connection. */
  get configuration(): Uint8Array<ArrayBuffer> | null {
    return this.#record;
  }

  connect(port: MessagePort): void {
    port.onmessage = ({ data }: MessageEvent<Samples>) => this.#encode(data);
  }

  close(): void {
    if (this.#encoder?.state !== "closed") this.#encoder?.close();
    this.#encoder = null;
    this.#config = null;
  }

  #start(): void {
    if (!this.#config) return;
    this.#encoder = new AudioEncoder({
      output: (chunk, metadata) => this.#output(chunk, metadata?.decoderConfig),
      // The encoder is closed now: the next samples open another one.
      error: () => (this.#encoder = null),
    });
    this.#encoder.configure(this.#config);
  }

  #encode({ planes }: Samples): void {
    const frames = planes[0]?.length ?? 0;
    if (!this.#config || frames === 0) return;
    const sourceUs = this.#samples * SAMPLE_US;
    this.#samples += frames;
    this.#offsetUs = this.#clock.place(sourceUs, this.#nowUs() - frames * SAMPLE_US) - sourceUs;
    if (!this.#encoder) this.#start();
    if (!this.#encoder || this.#encoder.encodeQueueSize > MOST_QUEUED) return;
    const data = new Float32Array(frames * SOUND_CHANNELS);
    planes.forEach((plane, channel) => data.set(plane, channel * frames));
    const samples = new AudioData({
      format: "f32-planar",
      sampleRate: SOUND_RATE,
      numberOfChannels: SOUND_CHANNELS,
      numberOfFrames: frames,
      timestamp: Math.round(sourceUs),
      data,
    });
    this.#encoder.encode(samples);
    samples.close();
  }

  #output(chunk: EncodedAudioChunk, decoder: AudioDecoderConfig | undefined): void {
    if (decoder || !this.#record) this.#configured(decoder);
    this.#events.message(audioMessage(chunk, this.#increasing.next(chunk.timestamp + this.#offsetUs)));
  }

  #configured(decoder: AudioDecoderConfig | undefined): void {
    const given = decoder?.description ? bytesOf(decoder.description) : null;
    const isOpus = this.#config?.codec === "opus";
    const channels = decoder?.numberOfChannels ?? SOUND_CHANNELS;
    const record = isOpus ? opusRecord(given, channels) : (given ?? aacRecord(SOUND_RATE, channels));
    this.#record = configMessage(isOpus ? "opus" : "aac", record);
    this.#events.message(this.#record);
  }
}

/** Return a view of the bytes of a buffer, or of a part of one. */
export function bytesOf(source: AllowSharedBufferSource): Uint8Array {
  return ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
}
