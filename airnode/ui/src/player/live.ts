import { liveUrl } from "./address.ts";
import type { Engine, Failure, FailureKind, Level } from "./engine.ts";
import { joined, StampReader, type Stamp } from "./fmp4.ts";
import { LivePace } from "./livepace.ts";
import { sameNode } from "./retoken.ts";
import { ShownFrames } from "./shown.ts";

/** Media Source Extensions, in the form that iPhones have. */
declare global {
  interface Window {
    ManagedMediaSource?: typeof MediaSource;
  }
}

const TICK_MS = 50;
const RETRY_MS = 250;
const MOST_FAILURES = 2;
const BACK_BUFFER_S = 10;
/** So much is kept at most, also while the person pauses: going on means the live edge anyway. */
const MOST_BUFFER_S = 30;
/** Key frames are cut a little before their time: times are rounded on their way. */
const BEFORE_KEY_S = 0.002;
const TRIM_EVERY_MS = 4_000;
const MOST_PENDING_BYTES = 32 << 20;
const STAMPS = 900;
/** The first burst is old media: its arrival says nothing about jitter. */
const BURST_MS = 500;
/**
 * Rates that differ less from 1 change the pitch: keeping it makes Chromium hold some 60 ms more of decoded sound, and where
 * that is not in hand the picture freezes for 0.7 s.
 */
const MOST_PITCH = 0.085;
/** So much undecodable media is waited for at most; a time further ahead belongs to another timeline. */
const MOST_UNDECODED_S = 2;
/** A hole so near before us is crossed. */
const HOLE_NEAR_S = 0.05;

function mediaSource(): typeof MediaSource | undefined {
  return window.ManagedMediaSource ?? window.MediaSource;
}

function trackCount(type: string): number {
  return type.split(",").length;
}

/** This browser can take a stream piece by piece, as far as can be told without its codecs. */
export function liveSupported(): boolean {
  const Source = mediaSource();
  return Source !== undefined && typeof ReadableStream === "function" && Source.isTypeSupported('video/mp4; codecs="avc1.42c01e"');
}

/**
 * One endless response, read with fetch and handed to a source buffer as it comes.
 *
 * It keeps the distance to the live edge by the playback rate, crosses holes (the server skips what a slow viewer could
 * not take, and a teacher who comes back leaves one), and asks again when the response ends; after two tries in
 * a row without media it fails.
 */
export class LiveEngine implements Engine {
  readonly paces = true;
  readonly #video: HTMLVideoElement;
  readonly #failed: (failure: Failure) => void;
  readonly #pace = new LivePace();
  readonly #reader = new StampReader();
  readonly #shown: ShownFrames;
  readonly #notBeforeS: number;
  readonly #run = new AbortController();
  readonly #timer: ReturnType<typeof setInterval>;
  #url = "";
  #objectUrl = "";
  #source: MediaSource | null = null;
  #buffer: SourceBuffer | null = null;
  #type = "";
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #stamps: Stamp[] = [];
  /** Where decoding can begin, in media seconds. */
  #keys: number[] = [];
  #clear = false;
  #placed = false;
  #responseAtMs = 0;
  #trimmedAtMs = 0;
  #failures = 0;

  /** `notBeforeS`: play nothing from before this time, since some of it could not be decoded. */
  constructor(video: HTMLVideoElement, failed: (failure: Failure) => void, notBeforeS = 0) {
    this.#video = video;
    this.#notBeforeS = notBeforeS;
    this.#failed = failed;
    this.#shown = new ShownFrames(video, (mediaS) => this.#capturedAtMs(mediaS));
    video.addEventListener("error", () => this.#failDecoding(), { signal: this.#run.signal });
    this.#timer = setInterval(() => this.#follow(), TICK_MS);
  }

  load(url: string): void {
    this.#url = url;
    const open = this.#attach();
    void this.#keepReading(open).catch(() => undefined);
  }

  /** A response that is open stays open; only the next one needs the new token. */
  adopt(url: string): boolean {
    if (!sameNode(url, this.#url)) return false;
    this.#url = url;
    return true;
  }

  playingAtMs(): number | null {
    return this.#shown.capturedNowMs() ?? this.#capturedAtMs(this.#video.currentTime);
  }

  #capturedAtMs(now: number): number | null {
    for (let index = this.#stamps.length - 1; index >= 0; index -= 1) {
      const { mediaS, unixMs } = this.#stamps[index]!;
      if (mediaS <= now + 0.001) return unixMs + (now - mediaS) * 1000;
    }
    return null;
  }

  livePosition(): number | null {
    const last = this.#ranges().at(-1);
    if (!last) return null;
    const position = this.#pace.position(performance.now()) ?? last.end - this.#pace.aimS - this.#pace.fragmentS;
    return Math.max(last.start, Math.min(position, last.end - HOLE_NEAR_S));
  }

  periodS(): number {
    return this.#pace.fragmentS;
  }

  /** The player saw the picture stop though it should move. */
  stalled(): void {
    this.#pace.stalled(performance.now());
    if (this.#pace.exhausted) this.#fail("network", 0);
  }

  levels(): Level[] {
    return [];
  }

  setLevel(): void {}

  destroy(): void {
    this.#run.abort();
    clearInterval(this.#timer);
    this.#shown.destroy();
    this.#video.preservesPitch = true;
    this.#buffer = null;
    this.#source = null;
    this.#pending = [];
    this.#video.removeAttribute("src");
    this.#video.load();
    if (this.#objectUrl) URL.revokeObjectURL(this.#objectUrl);
  }

  // ---- the response ----------------------------------------------------------------------------------------------

  async #keepReading(open: Promise<void>): Promise<void> {
    const { signal } = this.#run;
    while (!signal.aborted) {
      const failure = await this.#read(open).catch((): Failure => ({ kind: "network", status: 0 }));
      if (signal.aborted) return;
      this.#failures += 1;
      const hopeless = failure?.kind === "refused" || failure?.kind === "codec";
      if (failure && (hopeless || this.#failures >= MOST_FAILURES)) return this.#fail(failure.kind, failure.status);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS * (0.5 + Math.random())));
    }
  }

  /** Null: the response ended by itself after media came. */
  async #read(open: Promise<void>): Promise<Failure | null> {
    const { signal } = this.#run;
    const response = await fetch(liveUrl(this.#url), { signal, cache: "no-store" });
    if (!response.ok || !response.body) return { kind: kindOf(response.status), status: response.status };
    const type = response.headers.get("Content-Type") ?? "";
    if (!mediaSource()?.isTypeSupported(type)) {
      await response.body.cancel();
      return { kind: "codec", status: response.status };
    }
    await open;
    if (this.#buffer && trackCount(type) !== trackCount(this.#type)) await this.#renew();
    this.#begin(type);
    const reader = response.body.getReader();
    let received = false;
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return received ? null : { kind: "network", status: response.status };
      received = true;
      this.#take(value);
    }
  }

  #begin(type: string): void {
    this.#reader.reset();
    this.#pace.reset(/mp4a|opus/i.test(type));
    this.#stamps = [];
    this.#keys = [];
    this.#shown.reset();
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#responseAtMs = performance.now();
    if (!this.#buffer) this.#buffer = this.#addBuffer(type);
    else this.#clear = true;
    this.#type = type;
    this.#placed = false;
  }

  #take(piece: Uint8Array): void {
    for (const stamp of this.#reader.push(piece)) {
      if (stamp.isKey) this.#keys.push(stamp.mediaS);
      const last = this.#stamps.at(-1);
      // Frames that are shown before one that came earlier (B-frames) tell nothing new about the clocks.
      if (last && stamp.mediaS <= last.mediaS) continue;
      this.#stamps.push(stamp);
      if (this.#stamps.length > STAMPS) this.#stamps.shift();
    }
    this.#pending.push(piece);
    this.#pendingBytes += piece.length;
    if (this.#pendingBytes > MOST_PENDING_BYTES) return this.#fail("media", 0);
    this.#pump();
  }

  // ---- the source buffer -----------------------------------------------------------------------------------------

  #attach(): Promise<void> {
    const Source = mediaSource()!;
    const source = (this.#source = new Source());
    this.#video.disableRemotePlayback = true;
    this.#objectUrl = URL.createObjectURL(source);
    this.#video.src = this.#objectUrl;
    return new Promise((resolve) => source.addEventListener("sourceopen", () => resolve(), { once: true }));
  }

  /** A track came or went: a source buffer can change its codecs, and not the number of its tracks. */
  async #renew(): Promise<void> {
    const { paused } = this.#video;
    this.#buffer = null;
    URL.revokeObjectURL(this.#objectUrl);
    await this.#attach();
    if (!paused) void this.#video.play().catch(() => undefined);
  }

  #addBuffer(type: string): SourceBuffer {
    const buffer = this.#source!.addSourceBuffer(type);
    buffer.mode = "segments";
    buffer.addEventListener("updateend", () => this.#onUpdated());
    buffer.addEventListener("error", () => this.#fail("media", 0));
    return buffer;
  }

  /** Hand over what is there, in one piece: appends cost by the call. */
  #pump(): void {
    const buffer = this.#buffer;
    if (!buffer || buffer.updating || this.#source?.readyState !== "open") return;
    try {
      if (this.#clear) return this.#empty(buffer);
      if (this.#pending.length === 0 || this.#trim(buffer)) return;
      this.#measure();
      const data = joined(this.#pending);
      this.#pending = [];
      this.#pendingBytes = 0;
      buffer.appendBuffer(data);
    } catch {
      this.#fail("media", 0);
    }
  }

  /** What is in hand right before media is added is the low water; it ends where the shorter of the two tracks ends. */
  #measure(): void {
    const [now, last] = [performance.now(), this.#ranges().at(-1)];
    if (last && now - this.#responseAtMs > BURST_MS) this.#pace.arrived(now, last.end);
  }

  /** A new response: its timeline has nothing to do with what is buffered. */
  #empty(buffer: SourceBuffer): void {
    this.#clear = false;
    buffer.abort();
    buffer.changeType(this.#type);
    buffer.remove(0, Infinity);
  }

  /**
   * Remove what has been played, up to a key frame: a browser also removes all frames between the end of what is removed
   * and the next key frame, and that would be the picture on screen where key frames are far apart.
   */
  #trim(buffer: SourceBuffer): boolean {
    const now = performance.now();
    const ranges = this.#ranges();
    const [first, last] = [ranges[0], ranges.at(-1)];
    const until = Math.max(this.#video.currentTime - BACK_BUFFER_S, (last?.end ?? 0) - MOST_BUFFER_S);
    if (!first || now - this.#trimmedAtMs < TRIM_EVERY_MS || until <= first.start) return false;
    this.#trimmedAtMs = now;
    const next = this.#keys.findIndex((key) => key > until);
    const cut = this.#keys[(next < 0 ? this.#keys.length : next) - 1];
    if (cut === undefined || cut - BEFORE_KEY_S <= first.start) return false;
    this.#keys = this.#keys.filter((key) => key >= cut);
    buffer.remove(0, cut - BEFORE_KEY_S);
    return true;
  }

  #onUpdated(): void {
    if (this.#run.signal.aborted) return;
    if (!this.#placed && !this.#clear) this.#place();
    this.#pump();
  }

  #place(): void {
    const [position, last] = [this.livePosition(), this.#ranges().at(-1)];
    if (position === null || !last) return;
    const missingS = this.#notBeforeS - last.end + HOLE_NEAR_S;
    if (missingS > 0 && missingS < MOST_UNDECODED_S) return;
    this.#placed = true;
    this.#failures = 0;
    this.#video.currentTime = missingS > 0 ? position : Math.max(position, this.#notBeforeS);
  }

  #ranges(): { start: number; end: number }[] {
    const buffered = this.#buffer && this.#source?.readyState === "open" ? this.#buffer.buffered : null;
    return Array.from({ length: buffered?.length ?? 0 }, (_, index) => ({ start: buffered!.start(index), end: buffered!.end(index) }));
  }

  // ---- the live edge ---------------------------------------------------------------------------------------------

  /** Keep to the live edge: by the rate, over holes, with a jump where we are too far behind. */
  #follow(): void {
    const video = this.#video;
    if (!this.#placed || video.seeking || this.#run.signal.aborted) return;
    const ranges = this.#ranges();
    const last = ranges.at(-1);
    if (!last) return;
    const now = video.currentTime;
    const here = ranges.find(({ start, end }) => start <= now && now <= end + HOLE_NEAR_S);
    if (here !== last && (here?.end ?? now) - now < HOLE_NEAR_S) return this.#jump();
    if (video.paused) return;
    const rate = this.#pace.rate(performance.now(), now);
    if (rate === "jump") this.#jump();
    else if (video.playbackRate !== rate) {
      video.preservesPitch = Math.abs(rate - 1) > MOST_PITCH;
      video.playbackRate = rate;
    }
  }

  #jump(): void {
    const position = this.livePosition();
    if (position !== null) this.#video.currentTime = position;
  }

  #failDecoding(): void {
    const { buffered } = this.#video;
    this.#fail("media", 0, buffered.length > 0 ? buffered.end(buffered.length - 1) : 0);
  }

  #fail(kind: FailureKind, status: number, mediaEndS = 0): void {
    if (this.#run.signal.aborted) return;
    this.#run.abort();
    clearInterval(this.#timer);
    this.#failed({ kind, status, mediaEndS });
  }
}

function kindOf(status: number): FailureKind {
  if (status === 401 || status === 403) return "refused";
  return status === 404 || status === 410 ? "missing" : "network";
}
