import { SOUND_RATE } from "./encoderconfig.ts";
import workletUrl from "./pcm.worklet.ts?worker&url";

const LEVEL_SAMPLES = 1_024;
/** A fade instead of a click. */
const FADE_S = 0.02;

/** Mixes the microphone and the screen's sound, measures the level, and sends the mix to the worker as samples. */
export class Mixer {
  readonly #context = new AudioContext({ sampleRate: SOUND_RATE, latencyHint: "interactive" });
  readonly #microphone = this.#context.createGain();
  readonly #mix = this.#context.createGain();
  readonly #meter = this.#context.createAnalyser();
  readonly #samples = new Float32Array(LEVEL_SAMPLES);
  #microphoneSource: MediaStreamAudioSourceNode | null = null;
  #screenSource: MediaStreamAudioSourceNode | null = null;
  #pcm: AudioWorkletNode | null = null;

  constructor() {
    this.#meter.fftSize = LEVEL_SAMPLES;
    this.#meter.smoothingTimeConstant = 0;
    this.#microphone.connect(this.#mix);
    this.#microphone.connect(this.#meter);
    this.#context.addEventListener("statechange", () => this.resume());
  }

  /** Let it run: browsers suspend it without a gesture, after a call, and while the machine sleeps. */
  resume(): void {
    if (this.#context.state !== "running" && this.#context.state !== "closed") void this.#context.resume().catch(() => undefined);
  }

  /** Use another microphone; null: none. */
  setMicrophone(track: MediaStreamTrack | null): void {
    this.#microphoneSource?.disconnect();
    this.#microphoneSource = track && this.#context.createMediaStreamSource(new MediaStream([track]));
    this.#microphoneSource?.connect(this.#microphone);
    this.resume();
  }

  /** Use the sound of a shared screen; null: none. */
  setScreen(track: MediaStreamTrack | null): void {
    this.#screenSource?.disconnect();
    this.#screenSource = track && this.#context.createMediaStreamSource(new MediaStream([track]));
    this.#screenSource?.connect(this.#mix);
  }

  setMuted(muted: boolean): void {
    this.#microphone.gain.setTargetAtTime(muted ? 0 : 1, this.#context.currentTime, FADE_S);
  }

  /** Return the microphone's loudness now, 0 to 1; 1 is the loudest that can be recorded. */
  level(): number {
    this.#meter.getFloatTimeDomainData(this.#samples);
    return levelOf(this.#samples);
  }

  /** Send the mix to the worker at the other end of the port; null: not any more. */
  async send(port: MessagePort | null): Promise<void> {
    if (!this.#pcm) {
      await this.#context.audioWorklet.addModule(workletUrl);
      this.#pcm = new AudioWorkletNode(this.#context, "pcm", { numberOfInputs: 1, numberOfOutputs: 1, channelCount: 2 });
      this.#mix.connect(this.#pcm);
      // A node that leads nowhere is not run everywhere; its output is silence.
      this.#pcm.connect(this.#context.destination);
    }
    this.#pcm.port.postMessage({ port }, port ? [port] : []);
    this.resume();
  }

  close(): void {
    void this.#context.close().catch(() => undefined);
  }
}

/** The quietest loudness that a meter shows, in decibels below the loudest. */
const QUIETEST_DB = -60;

/** Return the loudness of samples on a scale that ears find even: 0 (silence) to 1. */
export function levelOf(samples: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < samples.length; index += 1) sum += samples[index]! ** 2;
  const rms = Math.sqrt(sum / Math.max(1, samples.length));
  return rms === 0 ? 0 : Math.min(1, Math.max(0, 1 - (20 * Math.log10(rms)) / QUIETEST_DB));
}
