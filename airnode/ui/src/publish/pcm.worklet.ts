import type { Samples } from "./messages.ts";

/** The globals of an AudioWorklet. */
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void;

const BATCH = 512;
const CHANNELS = 2;

/** Sends what it hears to the worker directly, past the page, in batches of 11 ms; without input it sends silence. */
class Pcm extends AudioWorkletProcessor {
  #worker: MessagePort | null = null;
  #planes = planes();
  #filled = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }: MessageEvent<{ port: MessagePort | null }>) => {
      this.#worker = data.port;
      this.#filled = 0;
    };
  }

  process(inputs: Float32Array[][]): boolean {
    const input = inputs[0] ?? [];
    const length = input[0]?.length ?? 128;
    for (let channel = 0; channel < CHANNELS; channel += 1) {
      const samples = input[channel] ?? input[0];
      if (samples) this.#planes[channel]!.set(samples, this.#filled);
    }
    this.#filled += length;
    if (this.#filled >= BATCH) this.#send();
    return true;
  }

  #send(): void {
    const sent: Samples = { planes: this.#planes };
    this.#worker?.postMessage(
      sent,
      sent.planes.map((plane) => plane.buffer),
    );
    this.#planes = planes();
    this.#filled = 0;
  }
}

function planes(): Float32Array<ArrayBuffer>[] {
  return Array.from({ length: CHANNELS }, () => new Float32Array(BATCH));
}

registerProcessor("pcm", Pcm);
