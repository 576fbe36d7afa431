import type { Packet, Played } from "./messages.ts";
import { SoundQueue } from "./soundqueue.ts";

/** The globals of an AudioWorklet. */
declare const sampleRate: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void;

/** Blocks of 128 samples between two reports. */
const REPORT_BLOCKS = 8;

/** Plays what the worker decoded; packets come from it directly, past the page. */
class Sound extends AudioWorkletProcessor {
  readonly #queue = new SoundQueue(sampleRate);
  #worker: MessagePort | null = null;
  #blocks = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }: MessageEvent<{ port: MessagePort }>) => this.#connect(data.port);
  }

  process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    this.#queue.read(outputs[0] ?? []);
    this.#blocks += 1;
    if (this.#blocks % REPORT_BLOCKS === 0) {
      const played: Played = { mediaS: this.#queue.mediaS, underruns: this.#queue.underruns };
      this.#worker?.postMessage(played);
    }
    return true;
  }

  #connect(port: MessagePort): void {
    this.#worker = port;
    port.onmessage = ({ data }: MessageEvent<Packet | null>) => {
      if (data === null) this.#queue.clear();
      else this.#queue.push(data.planes, data.mediaS);
    };
  }
}

registerProcessor("sound", Sound);
