import { Store } from "../lib/store.ts";
import type { Engine, Failure } from "./engine.ts";
import { HlsEngine, loadHls, loadHlsWhenIdle, type HlsClass } from "./hls.ts";
import { LiveEngine, liveSupported } from "./live.ts";
import { LowDelayChoice } from "./lowdelay/choice.ts";
import type { Reason } from "./lowdelay/messages.ts";
import { NativeEngine } from "./native.ts";
import { Pace } from "./pace.ts";
import { choice, type Path } from "./path.ts";
import { NOTHING_PLAYS, type PlayerEvents, type PlayerView } from "./playerview.ts";
import { comesThrough } from "./probe.ts";
import { Silence } from "./silence.ts";
import { Stumbles } from "./stumbles.ts";
import { Watchdog } from "./watchdog.ts";

const TICK_MS = 250;
/** Further behind than this we jump instead of playing faster. */
const TOO_FAR_BEHIND_S = 5;
/** If HLS plays within this time after live.mp4 failed, the server works and this network does not pass live.mp4. */
const FALLBACK_COUNTS_MS = 6_000;
/** A node that stops answers live.mp4 with 503. If this many nodes do so in a row, the 503 comes from a proxy. */
const MOST_REFUSALS = 2;

/**
 * One video element that plays a live source and recovers from stalls.
 *
 * States: stopped -> loading -> playing -> (frozen -> loading ...) -> stopped. It seeks and changes the playback rate;
 * its owner, which gets the failures, chooses tokens and nodes.
 */
export class Player {
  readonly view = new Store<PlayerView>(NOTHING_PLAYS);
  readonly video: HTMLVideoElement;
  readonly #still: HTMLCanvasElement;
  readonly #events: PlayerEvents;
  readonly #pace = new Pace();
  readonly #watchdog = new Watchdog();
  readonly #silence = new Silence();
  readonly #listening = new AbortController();
  #engine: Engine | null = null;
  #url: string | null = null;
  #generation = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** The teacher is live, so the picture should move. */
  #expected = false;
  /** The publisher's pause may have left a hole in the buffer before the new media. */
  #resuming = false;
  #fellBackAtMs = -Infinity;
  readonly #stumbles = new Stumbles();
  #probing = false;
  /** Nodes in a row that said 503. */
  #refusals = 0;
  stalls = 0;
  /** Whether the class asks for the lowest delay: it counts from the next load on. */
  readonly lowDelay = new LowDelayChoice();

  constructor(video: HTMLVideoElement, still: HTMLCanvasElement, events: PlayerEvents) {
    this.video = video;
    this.#still = still;
    this.#events = events;
    const { signal } = this.#listening;
    video.addEventListener("waiting", () => this.#onWaiting(), { signal });
    video.addEventListener("volumechange", () => this.#readVolume(), { signal });
    video.addEventListener("timeupdate", () => this.#onProgress(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#catchUp(), { signal });
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#readVolume();
  }

  /** Which way the media comes. */
  get path(): Path | null {
    if (!this.#engine) return null;
    return this.#engine instanceof HlsEngine || this.#engine instanceof NativeEngine ? "hls" : "live";
  }

  /** hls.js itself, where it plays. */
  get hls(): unknown {
    return this.#engine instanceof HlsEngine ? this.#engine.instance : null;
  }

  get loaded(): boolean {
    return this.#url !== null;
  }

  /** Load a source from its live edge. The last picture stays on screen until the new one is there. */
  async load(url: string): Promise<void> {
    this.#watchdog.reset();
    await this.#load(url, choice.path(performance.now()));
  }

  async #load(url: string, path: Path, notBeforeS = 0): Promise<void> {
    this.#freeze();
    this.#discard();
    this.#silence.reset();
    this.#url = url;
    const generation = ++this.#generation;
    this.view.patch({ playing: false, paused: false });
    if (path === "live" && this.lowDelay.active) return this.#loadLowDelay(url, generation);
    if (path === "live" && liveSupported()) return this.#start(new LiveEngine(this.video, this.#onLiveFailure, notBeforeS), url);
    try {
      const Hls = await loadHls();
      if (generation !== this.#generation) return;
      this.#start(Hls.isSupported() ? this.#hlsEngine(Hls) : this.#native(), url);
    } catch {
      if (generation === this.#generation) this.#onFailure({ kind: "network", status: 0 });
    }
  }

  /** For the debug object: whether the lowest delay is played, or why not. */
  get lowDelayState(): "on" | "off" | Reason {
    return this.lowDelay.left ?? (this.lowDelay.active && this.path === "live" ? "on" : "off");
  }

  /** How far the sound lies behind the picture, in ms; null where that is not known. */
  get soundBehindMs(): number | null {
    return this.#engine?.soundBehindMs ?? null;
  }

  async #loadLowDelay(url: string, generation: number): Promise<void> {
    const engine = await this.lowDelay.make(this.video, {
      failed: this.#onLiveFailure,
      left: (reason) => this.#leaveLowDelay(reason),
      soundBlocked: () => this.#onSoundBlocked(),
    });
    if (generation !== this.#generation) engine?.destroy();
    else if (engine) this.#start(engine, url);
    else this.#leaveLowDelay("unsupported");
  }

  /** WebCodecs do not work here: Media Source Extensions instead. */
  #leaveLowDelay(reason: Reason): void {
    this.lowDelay.leave(reason);
    if (this.#url !== null) void this.#load(this.#url, "live");
  }

  #onSoundBlocked(): void {
    this.video.muted = true;
    this.view.patch({ soundBlocked: true });
  }

  /** Go on with a renewed token. */
  adopt(url: string, token: string): void {
    if (this.#url === null) return;
    if (this.#engine?.adopt(url, token)) this.#url = url;
    else void this.load(url);
  }

  stop(): void {
    this.#generation += 1;
    this.#discard();
    this.#url = null;
    this.view.patch({ playing: false, paused: false, frozen: false, levels: [], level: -1 });
  }

  /** Let go of a source that ended by itself, with its last picture left on screen. */
  stopKeepingPicture(): void {
    this.#freeze();
    this.#generation += 1;
    this.#discard();
    this.#url = null;
    this.view.patch({ playing: false });
  }

  destroy(): void {
    this.stop();
    clearInterval(this.#timer);
    this.#listening.abort();
  }

  /** Whether the picture should move: the teacher is live. */
  expect(moving: boolean): void {
    if (moving && !this.#expected) this.#watchdog.reset();
    this.#expected = moving;
  }

  /** The teacher came back to a source that stayed loaded: it plays again with the next new frame. */
  resume(): void {
    if (!this.#engine || !this.view.value.playing) return;
    this.view.patch({ playing: false });
    this.#resuming = true;
    this.#awaitFirstFrame(this.#generation);
  }

  togglePause(): void {
    const paused = !this.view.value.paused;
    this.view.patch({ paused });
    if (paused) this.video.pause();
    else this.toLive();
  }

  /** Jump to the live edge and play. */
  toLive(): void {
    const position = this.#engine?.livePosition() ?? null;
    if (position !== null && Math.abs(position - this.video.currentTime) > 0.5) this.#seek(position);
    this.view.patch({ paused: false });
    void this.#play();
  }

  setMuted(muted: boolean): void {
    this.video.muted = muted;
    if (!muted && this.video.volume === 0) this.video.volume = 0.5;
    this.view.patch({ soundBlocked: false });
  }

  setVolume(volume: number): void {
    this.video.volume = Math.min(1, Math.max(0, volume));
    this.setMuted(volume === 0);
  }

  setLevel(level: number): void {
    this.#engine?.setLevel(level);
    this.view.patch({ level });
  }

  /** When the frame on screen was captured, unix ms by the stream's clock. */
  playingAtMs(): number | null {
    return this.view.value.playing ? (this.#engine?.playingAtMs() ?? null) : null;
  }

  /** For how long no media came though it should, in ms. */
  quietMs(): number {
    return this.#silence.lastedMs(performance.now());
  }

  /** Seconds of buffered media. */
  aheadS(): number {
    const { buffered, currentTime } = this.video;
    for (let index = 0; index < buffered.length; index += 1) {
      if (buffered.start(index) <= currentTime + 0.1 && currentTime < buffered.end(index)) {
        return buffered.end(index) - currentTime;
      }
    }
    return 0;
  }

  #endS(): number {
    const received = this.#engine?.endS?.();
    if (received !== undefined) return received;
    const { buffered } = this.video;
    return buffered.length > 0 ? buffered.end(buffered.length - 1) : 0;
  }

  #start(engine: Engine, url: string): void {
    this.#engine = engine;
    this.#pace.reset();
    this.video.playbackRate = 1;
    engine.load(url);
    this.#awaitFirstFrame(this.#generation);
    void this.#play();
  }

  #hlsEngine(Hls: HlsClass): Engine {
    return new HlsEngine(Hls, this.video, this.#onFailure, () => this.#events.suspect());
  }

  #native(): Engine {
    return new NativeEngine(this.video, this.#onFailure);
  }

  #discard(): void {
    this.#resuming = false;
    this.#engine?.destroy();
    this.#engine = null;
  }

  readonly #onFailure = (failure: Failure): void => this.#events.failed(failure);

  /** live.mp4 does not come (through): HLS instead, unless it is the token, the teacher or the node that is not there. */
  readonly #onLiveFailure = (failure: Failure): void => {
    if (failure.kind === "media" && this.#expected && this.#url !== null) {
      const mayGoOn = this.#stumbles.mayGoOn(performance.now(), this.view.value.playing);
      if (mayGoOn) return void this.#load(this.#url, "live", failure.mediaEndS);
    }
    const busy = failure.status === 503 && this.#refusals++ < MOST_REFUSALS;
    if (failure.kind === "refused" || busy || !this.#expected || !choice.mayFallBack) return this.#onFailure(failure);
    const generation = this.#generation;
    void this.#events.reachable().then((reachable) => {
      if (generation !== this.#generation || this.#url === null) return;
      if (!reachable) return this.#onFailure(failure);
      this.#fellBackAtMs = performance.now();
      void this.#load(this.#url, "hls");
    });
  };

  #awaitFirstFrame(generation: number): void {
    const seen = () => generation === this.#generation && this.#onFirstFrame();
    if ("requestVideoFrameCallback" in this.video) this.video.requestVideoFrameCallback(seen);
    else (this.video as HTMLVideoElement).addEventListener("loadeddata", seen, { once: true });
  }

  #onFirstFrame(): void {
    if (this.view.value.playing) return;
    this.#resuming = false;
    this.#refusals = 0;
    this.#pace.reset();
    const now = performance.now();
    if (this.path === "live") choice.onLivePlays(now);
    else if (now - this.#fellBackAtMs < FALLBACK_COUNTS_MS) choice.stayWithHls(now);
    this.view.patch({ playing: true, frozen: false, levels: this.#engine?.levels() ?? [], level: -1 });
    this.#events.firstFrame();
    if (this.path === "live" && choice.mayFallBack) loadHlsWhenIdle();
  }

  /** A class with sound only has no frames: there, moving on is the sign. */
  #onProgress(): void {
    if (!this.view.value.playing && this.video.currentTime > 0 && this.video.videoWidth === 0) this.#onFirstFrame();
  }

  async #play(): Promise<void> {
    try {
      await this.video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError" || this.video.muted) return;
      this.#onSoundBlocked();
      await this.video.play().catch(() => undefined);
    }
  }

  #onWaiting(): void {
    if (!this.view.value.playing || !this.#expected || this.video.seeking) return;
    this.stalls += 1;
    this.#pace.stalled(performance.now());
    this.#engine?.stalled?.();
  }

  #readVolume(): void {
    this.view.patch({ muted: this.video.muted, volume: this.video.volume });
  }

  #tick(): void {
    const { playing, paused } = this.view.value;
    if (!this.#engine) return;
    const now = performance.now();
    if (this.#silence.check(now, this.#endS(), this.#expected && !paused)) this.#events.suspect();
    const wanted = this.#expected && !paused && !document.hidden;
    this.#remedy(this.#watchdog.check(now, this.#engine.positionS?.() ?? this.video.currentTime, wanted));
    if (this.#resuming) this.#crossHole();
    if (!playing || paused || !this.#engine) return;
    if (this.path === "hls" && wanted && liveSupported() && choice.mayReturn(now)) void this.#returnToLive();
    if (this.#engine.paces) return;
    if (this.#behindS() > TOO_FAR_BEHIND_S) return this.#catchUp();
    const rate = this.#pace.rate(now, this.aheadS(), this.#engine.periodS());
    if (this.video.playbackRate !== rate) this.video.playbackRate = rate;
  }

  /** HLS plays because live.mp4 failed: return to live.mp4 once the network passes it again. */
  async #returnToLive(): Promise<void> {
    const [generation, url] = [this.#generation, this.#url];
    if (this.#probing || url === null) return;
    this.#probing = true;
    const found = await comesThrough(url, this.#listening.signal);
    this.#probing = false;
    if (generation !== this.#generation || !this.#expected || this.view.value.paused) return;
    if (found) void this.#load(this.#url ?? url, "live");
    else choice.stayWithHls(performance.now());
  }

  #remedy(remedy: ReturnType<Watchdog["check"]>): void {
    if (remedy === "seek") this.toLive();
    else if (remedy === "reload") this.#reload();
    else if (remedy === "relocate") this.#events.failed({ kind: "network", status: 0 });
  }

  /** A response that never brought a picture may hang in a proxy; one that did is only loaded again. */
  #reload(): void {
    if (this.path === "live" && !this.view.value.playing) this.#onLiveFailure({ kind: "network", status: 0 });
    else if (this.#url !== null) void this.#load(this.#url, this.path ?? choice.path(performance.now()));
  }

  #crossHole(): void {
    const { buffered, currentTime } = this.video;
    const start = buffered.length > 0 ? buffered.start(buffered.length - 1) : 0;
    if (start > currentTime) this.#seek(start + 0.01);
  }

  #behindS(): number {
    const position = this.#engine?.livePosition() ?? null;
    return position === null ? 0 : position - this.video.currentTime;
  }

  #catchUp(): void {
    if (this.#expected && !this.view.value.paused && this.view.value.playing && this.#behindS() > 1.5) this.toLive();
  }

  #seek(position: number): void {
    this.#pace.reset();
    this.video.currentTime = position;
  }

  /** Keep the picture: detaching a source turns the element black. */
  #freeze(): void {
    const { videoWidth, videoHeight, readyState } = this.video;
    if (!this.view.value.playing || videoWidth === 0 || readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    this.#still.width = videoWidth;
    this.#still.height = videoHeight;
    this.#still.getContext("2d")?.drawImage(this.video, 0, 0);
    this.view.patch({ frozen: true });
  }
}
