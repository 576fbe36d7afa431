import type { Layout, Slot } from "./layout.ts";
import type { Figures, PublishOrder, PublishReport } from "./messages.ts";
import { Picture } from "./picture.ts";
import { RateControl, type RateDecision } from "./ratecontrol.ts";
import { SoundEncoder } from "./sound.ts";
import { Increasing, SourceClock } from "./sourceclock.ts";
import { Uplink, type PlaceAnswer } from "./uplink.ts";
import { PictureEncoder } from "./videoencoder.ts";

const TICK_MS = 100;
const FIGURES_EVERY = 5;
const RATE_MS = 2_000;

type Start = Extract<PublishOrder, { kind: "start" }>;

/**
 * Encodes and sends, away from the page: timers and streams of a worker go on at their pace while the page is in the
 * background.
 */
class Publishing {
  readonly #uplink: Uplink;
  readonly #rate: RateControl;
  readonly #picture = new Picture({ picture: (frame, sourceUs) => this.#encode(frame, sourceUs) });
  readonly #video = new PictureEncoder({
    message: (message) => this.#sendVideo(message),
    failed: () => this.#finish({ code: "no_h264", detail: "" }),
  });
  readonly #sound = new SoundEncoder(nowUs, { message: (message) => this.#uplink.send(message) });
  readonly #clocks = new Map<Slot, SourceClock>();
  readonly #increasing = new Increasing();
  readonly #readers = new Map<Slot, ReadableStreamDefaultReader<VideoFrame>>();
  readonly #grabbed = new Set<Slot>();
  readonly #timer = setInterval(() => this.#tick(), TICK_MS);
  #grabTimer: ReturnType<typeof setInterval> | undefined;
  #layout: Layout = { main: null, inset: false };
  #decision: RateDecision;
  #ticks = 0;
  #dropped = 0;
  /** [time, bytes] of what was sent, and times of the frames, in the last two seconds. */
  #sent: [number, number][] = [];
  #frames: number[] = [];
  #placed: ((answer: PlaceAnswer) => void) | null = null;
  #ended = false;

  constructor({ encoder, quality }: Start) {
    this.#rate = new RateControl(quality);
    this.#decision = this.#rate.update(IDLE);
    this.#uplink = new Uplink(encoder, {
      locate: (avoid) => this.#locate(avoid),
      state: (state, trouble) => report({ kind: "state", state, trouble }),
      accepted: (keyIntervalS) => this.#accepted(keyIntervalS),
      keyWanted: () => this.#video.wantKey(),
      remark: (trouble) => report({ kind: "remark", trouble }),
    });
    void this.#run();
  }

  handle(order: PublishOrder): void {
    switch (order.kind) {
      case "place":
        return this.#placed?.({ place: order.place });
      case "noPlace":
        return this.#placed?.(order);
      case "picture":
        return void this.#follow(order.slot, order.frames);
      case "grabbing":
        return this.#grab(order.slot, order.on);
      case "frame":
        return this.#put(order.slot, order.frame);
      case "sound":
        return this.#sound.connect(order.port);
      case "layout":
        this.#layout = order.layout;
        this.#picture.layout = order.layout;
        return;
      case "hurry":
        return this.#uplink.hurry();
      case "stop":
        this.#uplink.stop();
        return this.#finish(null);
      case "start":
        return;
    }
  }

  async #run(): Promise<void> {
    await this.#sound.open();
    this.#aim();
    this.#finish(await this.#uplink.run());
  }

  #finish(trouble: PublishTrouble): void {
    if (this.#ended) return;
    this.#ended = true;
    if (trouble) this.#uplink.stop();
    clearInterval(this.#timer);
    clearInterval(this.#grabTimer);
    for (const reader of this.#readers.values()) void reader.cancel().catch(() => undefined);
    this.#picture.close();
    this.#video.close();
    this.#sound.close();
    report({ kind: "ended", trouble });
  }

  #locate(avoid: string): Promise<PlaceAnswer> {
    report({ kind: "locate", avoid });
    return new Promise((resolve) => (this.#placed = resolve));
  }

  #accepted(keyIntervalS: number): void {
    this.#rate.reconnected(performance.now());
    this.#video.keyIntervalS = keyIntervalS;
    this.#video.wantKey();
    for (const configuration of [this.#video.configuration, this.#sound.configuration]) {
      if (configuration) this.#uplink.send(configuration);
    }
  }

  // -- pictures

  async #follow(slot: Slot, frames: ReadableStream<VideoFrame> | null): Promise<void> {
    await this.#readers.get(slot)?.cancel().catch(() => undefined);
    this.#readers.delete(slot);
    this.#clocks.delete(slot);
    this.#picture.drop(slot);
    if (!frames) return;
    const reader = frames.getReader();
    this.#readers.set(slot, reader);
    for (;;) {
      const { value, done } = await reader.read().catch(() => ({ value: undefined, done: true }));
      if (done || !value) break;
      if (this.#readers.get(slot) !== reader || this.#ended) {
        value.close();
        break;
      }
      this.#put(slot, value);
    }
    if (this.#readers.get(slot) === reader) this.#picture.drop(slot);
  }

  #put(slot: Slot, frame: VideoFrame): void {
    if (this.#ended) return frame.close();
    this.#picture.put(slot, frame, performance.now());
  }

  #grab(slot: Slot, on: boolean): void {
    if (on) this.#grabbed.add(slot);
    else {
      this.#grabbed.delete(slot);
      this.#picture.drop(slot);
    }
    clearInterval(this.#grabTimer);
    if (this.#grabbed.size === 0) return;
    this.#grabTimer = setInterval(() => {
      for (const each of this.#grabbed) report({ kind: "grab", slot: each });
    }, 1_000 / this.#decision.rung.frameRate);
  }

  #encode(frame: VideoFrame, sourceUs: number | null): void {
    if (!this.#uplink.live) return frame.close();
    if (this.#decision.skip) {
      this.#dropped += 1;
      return frame.close();
    }
    const timestampUs = this.#increasing.next(this.#timeOf(sourceUs));
    if (this.#video.encode(frame, timestampUs)) this.#frames.push(performance.now());
    else this.#dropped += 1;
  }

  #timeOf(sourceUs: number | null): number {
    const slot = this.#layout.main;
    if (sourceUs === null || slot === null) return nowUs();
    const clock = this.#clocks.get(slot) ?? new SourceClock();
    this.#clocks.set(slot, clock);
    return clock.place(sourceUs, nowUs());
  }

  #sendVideo(message: Uint8Array<ArrayBuffer>): void {
    this.#sent.push([performance.now(), message.byteLength]);
    this.#uplink.send(message);
  }

  // -- rate

  #tick(): void {
    const nowMs = performance.now();
    const { sentMessages, sentBytes, ackedMessages, ackedBytes, bufferedBytes, live } = this.#uplink;
    if (live) {
      this.#decision = this.#rate.update({ nowMs, sentMessages, sentBytes, ackedMessages, ackedBytes, bufferedBytes });
      this.#aim();
    }
    this.#picture.tick(nowMs);
    this.#ticks += 1;
    if (this.#ticks % FIGURES_EVERY === 0) report({ kind: "figures", figures: this.#figures(nowMs) });
  }

  #aim(): void {
    const { rung, bitrateBps } = this.#decision;
    this.#picture.aim(rung.width, rung.height, rung.frameRate);
    void this.#video.aim(rung, bitrateBps);
  }

  #figures(nowMs: number): Figures {
    this.#sent = this.#sent.filter(([atMs]) => nowMs - atMs < RATE_MS);
    this.#frames = this.#frames.filter((atMs) => nowMs - atMs < RATE_MS);
    const { rung, bitrateBps } = this.#decision;
    return {
      width: rung.width,
      height: rung.height,
      frameRate: (this.#frames.length * 1_000) / RATE_MS,
      bitrateBps: (this.#sent.reduce((sum, [, bytes]) => sum + bytes, 0) * 8_000) / RATE_MS,
      allowedBps: bitrateBps,
      lateMs: Math.round(this.#rate.lateMs),
      dropped: this.#dropped,
    };
  }
}

type PublishTrouble = Extract<PublishReport, { kind: "ended" }>["trouble"];

const IDLE = { nowMs: 0, sentMessages: 0, sentBytes: 0, ackedMessages: 0, ackedBytes: 0, bufferedBytes: 0 };

/** The page's clock: microseconds since the worker began, and some more, so that no timestamp is below zero. */
function nowUs(): number {
  return performance.now() * 1_000 + 1e6;
}

function report(message: PublishReport): void {
  postMessage(message);
}

let publishing: Publishing | null = null;

addEventListener("message", ({ data }: MessageEvent<PublishOrder>) => {
  if (data.kind === "start") publishing = new Publishing(data);
  else publishing?.handle(data);
});
