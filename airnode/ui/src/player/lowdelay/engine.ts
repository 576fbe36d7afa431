import type { Engine, Failure, Level } from "../engine.ts";
import type { Stamp } from "../fmp4.ts";
import { sameNode } from "../retoken.ts";
import { ShownFrames } from "../shown.ts";
import type { Order, Reason, Report } from "./messages.ts";
import workletUrl from "./sound.worklet.ts?worker&url";

/** Breakout box (W3C mediacapture-transform): a track that a program fills with pictures. Chromium has it. */
interface PictureTrack extends MediaStreamTrack {
  readonly writable: WritableStream<VideoFrame>;
}

declare global {
  interface Window {
    MediaStreamTrackGenerator?: new (init: { kind: "video" }) => PictureTrack;
  }
}

const STAMPS = 900;
/** A page that may make sounds starts its AudioContext within this. */
const SILENT_MS = 500;
const LATENCY_EVERY_MS = 1_000;

export interface LowDelayOptions {
  /** The picture does not wait for its sound. */
  free: boolean;
  /** Nobody listens: no sound is decoded. */
  silent: boolean;
}

export interface LowDelayEvents {
  failed(failure: Failure): void;
  /** It does not work here: Media Source Extensions have to. */
  left(reason: Reason): void;
  /** The browser makes no sound until the page is touched. */
  soundBlocked(): void;
}

/** WebCodecs, and all that goes with them, are there: only on pages from https or from this machine itself. */
export function lowDelaySupported(): boolean {
  return (
    typeof VideoDecoder === "function" &&
    typeof AudioDecoder === "function" &&
    typeof AudioWorkletNode === "function" &&
    typeof Worker === "function" &&
    window.MediaStreamTrackGenerator !== undefined
  );
}

/**
 * `live.mp4` with the lowest delay: a worker splits and decodes it; pictures go into a track that the video element
 * plays, sound goes to an AudioWorklet with a small buffer. Nothing waits in the buffers of Media Source Extensions.
 *
 * The video element stays what the person operates: its volume, mute and pause are followed.
 */
export class LowDelayEngine implements Engine {
  readonly paces = true;
  readonly #video: HTMLVideoElement;
  readonly #events: LowDelayEvents;
  readonly #options: LowDelayOptions;
  readonly #worker = new Worker(new URL("./decoding.worker.ts", import.meta.url), { type: "module" });
  readonly #track = new window.MediaStreamTrackGenerator!({ kind: "video" });
  readonly #shown: ShownFrames;
  readonly #run = new AbortController();
  #url = "";
  #stamps: Stamp[] = [];
  #endS = 0;
  #context: AudioContext | null = null;
  #gain: GainNode | null = null;
  /** How far the sound lies behind the picture, in ms; null: there is none. */
  soundBehindMs: number | null = null;

  constructor(video: HTMLVideoElement, options: LowDelayOptions, events: LowDelayEvents) {
    this.#video = video;
    this.#options = options;
    this.#events = events;
    const { signal } = this.#run;
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Report>) => this.#onReport(data), { signal });
    this.#worker.addEventListener("error", () => this.#events.left("unsupported"), { signal });
    video.addEventListener("volumechange", () => this.#followVolume(), { signal });
    video.addEventListener("pause", () => this.#order({ kind: "paused", paused: true }), { signal });
    video.addEventListener("play", () => this.#order({ kind: "paused", paused: false }), { signal });
    this.#shown = new ShownFrames(video, (mediaS) => this.#capturedAtMs(mediaS));
  }

  load(url: string): void {
    this.#url = url;
    this.#video.srcObject = new MediaStream([this.#track]);
    const picture = this.#track.writable;
    const { free, silent } = this.#options;
    this.#order({ kind: "start", url, picture, free, sound: !silent }, [picture as unknown as Transferable]);
  }

  adopt(url: string): boolean {
    if (!sameNode(url, this.#url)) return false;
    this.#url = url;
    this.#order({ kind: "url", url });
    return true;
  }

  playingAtMs(): number | null {
    return this.#shown.capturedNowMs();
  }

  livePosition(): number | null {
    return null;
  }

  positionS(): number {
    return this.#shown.mediaS;
  }

  endS(): number {
    return this.#endS;
  }

  periodS(): number {
    return 0.04;
  }

  levels(): Level[] {
    return [];
  }

  setLevel(): void {}

  destroy(): void {
    this.#run.abort();
    this.#worker.terminate();
    this.#track.stop();
    this.#shown.destroy();
    void this.#context?.close().catch(() => undefined);
    this.#context = null;
    this.#video.srcObject = null;
  }

  #order(order: Order, transfer: Transferable[] = []): void {
    this.#worker.postMessage(order, transfer);
  }

  #onReport(report: Report): void {
    if (report.kind === "sound") return void this.#openSound(report.sampleRate, report.channels).catch(() => this.#onNoSound());
    if (report.kind === "failed") return this.#events.failed(report.failure);
    if (report.kind === "left") return this.#events.left(report.reason);
    this.#endS = report.endS;
    this.soundBehindMs = report.soundBehindMs;
    this.#stamps.push(...report.stamps);
    this.#stamps.splice(0, this.#stamps.length - STAMPS);
  }

  /** When the frame that is shown at `mediaS` was captured: stamps stand in the order of decoding, so the nearest counts. */
  #capturedAtMs(mediaS: number): number | null {
    let found: Stamp | null = null;
    for (const stamp of this.#stamps) {
      if (stamp.mediaS <= mediaS + 0.001 && (!found || stamp.mediaS >= found.mediaS)) found = stamp;
    }
    return found && found.unixMs + (mediaS - found.mediaS) * 1000;
  }

  // ---- sound -----------------------------------------------------------------------------------------------------

  async #openSound(sampleRate: number, channels: number): Promise<void> {
    await this.#context?.close();
    const context = (this.#context = new AudioContext({ latencyHint: 0, sampleRate }));
    await context.audioWorklet.addModule(workletUrl);
    if (this.#run.signal.aborted) return;
    const node = new AudioWorkletNode(context, "sound", { numberOfInputs: 0, outputChannelCount: [Math.min(2, channels)] });
    this.#gain = context.createGain();
    node.connect(this.#gain).connect(context.destination);
    const { port1, port2 } = new MessageChannel();
    node.port.postMessage({ port: port1 }, [port1]);
    this.#order({ kind: "sound", port: port2 }, [port2]);
    context.addEventListener("statechange", () => this.#tellState(), { signal: this.#run.signal });
    const timer = setInterval(() => this.#tellState(), LATENCY_EVERY_MS);
    this.#run.signal.addEventListener("abort", () => clearInterval(timer));
    this.#followVolume();
    this.#tellState();
    setTimeout(() => this.#askForTouch(), SILENT_MS);
  }

  #onNoSound(): void {
    if (!this.#run.signal.aborted) this.#events.left("unsupported");
  }

  #tellState(): void {
    const context = this.#context;
    if (!context) return;
    const outputLatencyS = context.outputLatency || context.baseLatency || 0;
    this.#order({ kind: "audible", on: context.state === "running", outputLatencyS });
  }

  #askForTouch(): void {
    if (this.#context?.state === "suspended" && !this.#video.muted && !this.#run.signal.aborted) this.#events.soundBlocked();
  }

  #followVolume(): void {
    if (!this.#gain || !this.#context) return;
    this.#gain.gain.value = this.#video.muted ? 0 : this.#video.volume;
    // Called in the person's own touch, where the browser allows it.
    if (!this.#video.muted && this.#context.state === "suspended") void this.#context.resume().catch(() => undefined);
  }
}
