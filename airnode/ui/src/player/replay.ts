import type HlsType from "hls.js";
import type { ErrorData, HlsConfig } from "hls.js";
import { linkedAbort, delayMs, sleep } from "../lib/backoff.ts";
import { Store } from "../lib/store.ts";
import { DividedPlaylist } from "./dividedplaylist.ts";
import { loadHls, type HlsClass } from "./hls.ts";
import { rebased } from "./retoken.ts";
import { endWithTheLast } from "./streamend.ts";

const BACKOFF = { baseMs: 500, capMs: 6_000 };
/** So near to the end counts as the end. */
const END_S = 0.5;
/** So much is passed over where media cannot be decoded: a browser notices 0.3 s before. */
const PASS_S = 0.5;
/** So many times in a row, while less than this has been played since. */
const MOST_PASSES = 8;
const PASSED_S = 1;
/** While an earlier section of a recording plays, the playlist is read so often for its growth. */
const GROWTH_MS = 5_000;

export interface ReplayView {
  /** Where we are and how long it is so far, in seconds. */
  positionS: number;
  durationS: number;
  paused: boolean;
  /** Waiting for media. */
  waiting: boolean;
  ended: boolean;
  muted: boolean;
  volume: number;
  rate: number;
  /** It cannot be played: `missing` (it is gone), `broken` (this browser, or the recording). */
  failure: "missing" | "broken" | null;
}

export interface ReplayEvents {
  /** The node did not answer, or refused our token: a new place or token is wanted. */
  trouble(refused: boolean): void;
}

/** Nothing is dropped that was once loaded for a minute behind us: people jump back. */
const CONFIG: Partial<HlsConfig> = {
  enableWorker: false,
  lowLatencyMode: false,
  backBufferLength: 60,
  maxBufferLength: 30,
  maxMaxBufferLength: 60,
};

/**
 * A recording in a video element, with seeking; also while it is still being made.
 *
 * Where picture or sound come or go, the recording is divided: each section is played by an hls.js of its own, from a
 * playlist that contains only that section. All positions here are those of the whole recording.
 *
 * All addresses are put below the present base before they are asked for, so that a renewed token and another node
 * change nothing for what plays.
 */
export class Replay {
  readonly view: Store<ReplayView>;
  readonly video: HTMLVideoElement;
  readonly #events: ReplayEvents;
  readonly #run = new AbortController();
  readonly #relative: string;
  readonly #playlist = new DividedPlaylist(this.#run.signal);
  #base: string;
  #Hls: HlsClass | null = null;
  #hls: HlsType | null = null;
  /** The section that plays. */
  #section = 0;
  /** Where to begin in a section that is being loaded; null: it is there. */
  #targetS: number | null = null;
  /** Behind which time media that cannot be decoded was left, and how often in a row. */
  #passedToS = -Infinity;
  #passes = 0;
  /** What cannot be decoded reaches to the end. */
  #passedAll = false;
  #attempt = 0;
  #retrying = false;

  constructor(video: HTMLVideoElement, base: string, relative: string, events: ReplayEvents) {
    this.video = video;
    this.#base = base;
    this.#relative = relative;
    this.#events = events;
    this.view = new Store<ReplayView>({
      ...{ positionS: 0, durationS: 0, paused: false, waiting: true, ended: false },
      ...{ muted: video.muted, volume: video.volume, rate: 1, failure: null },
    });
    for (const name of ["timeupdate", "durationchange", "play", "pause", "waiting", "playing", "seeking", "seeked", "ended", "volumechange", "ratechange", "progress"]) {
      video.addEventListener(name, () => this.#read(), { signal: this.#run.signal });
    }
    const { signal } = this.#run;
    video.addEventListener("playing", () => (this.#attempt = 0), { signal });
    video.addEventListener("ended", () => this.#goOn(), { signal });
    const timer = setInterval(() => void this.#watchGrowth(), GROWTH_MS);
    signal.addEventListener("abort", () => clearInterval(timer));
  }

  /** Begin at `fromS`; negative: so long before the end, as far as it has come. */
  async start(fromS: number): Promise<void> {
    const [Hls] = await Promise.all([loadHls().catch(() => null), fromS === 0 || this.#load()]);
    if (this.#run.signal.aborted) return;
    if (!Hls?.isSupported()) return this.#startNative(fromS);
    this.#Hls = Hls;
    const positionS = fromS < 0 ? Math.max(0, this.#playlist.durationS + fromS) : fromS;
    // -1: hls.js chooses, near the end while the recording grows.
    if (fromS < 0 && this.#playlist.count === 0) this.#open(0, -1);
    else this.#openAt(positionS);
    void this.#play();
  }

  /** The token or the node is another. */
  rebase(base: string): void {
    if (base === this.#base) return;
    this.#base = base;
    if (!this.#hls) this.#startNative(this.video.currentTime);
    else if (this.#retrying) this.#hls.startLoad(this.#targetS ?? this.video.currentTime);
  }

  toggle(): void {
    if (this.#passedAll) this.#openAt(0);
    if (!this.video.paused) this.video.pause();
    else void this.#play();
  }

  seek(positionS: number): void {
    const toS = Math.min(Math.max(0, positionS), Math.max(0, this.#endS() - END_S));
    const { index, insideS } = this.#playlist.placeOf(toS);
    if (this.#hls && (index !== this.#section || this.#targetS !== null || this.#passedAll)) {
      const plays = !this.video.paused;
      this.#open(index, insideS);
      if (plays) void this.#play();
    } else {
      this.video.currentTime = toS - this.#startS;
    }
    this.#read();
  }

  skip(byS: number): void {
    this.seek(this.view.value.positionS + byS);
  }

  setMuted(muted: boolean): void {
    this.video.muted = muted;
    if (!muted && this.video.volume === 0) this.video.volume = 0.5;
  }

  setVolume(volume: number): void {
    this.video.volume = volume;
    this.setMuted(volume === 0);
  }

  setRate(rate: number): void {
    // The default is what counts when the next section is loaded.
    this.video.defaultPlaybackRate = this.video.playbackRate = rate;
  }

  destroy(): void {
    this.#run.abort();
    this.#hls?.destroy();
    this.video.defaultPlaybackRate = 1;
    this.video.removeAttribute("src");
    this.video.load();
  }

  get #url(): string {
    return this.#base + this.#relative;
  }

  /** Where the section begins that plays, in seconds. */
  get #startS(): number {
    return this.#playlist.startS(this.#section);
  }

  async #load(): Promise<void> {
    await this.#playlist.load(this.#url).catch(() => undefined);
  }

  /** Only the last section's playlist is read again by hls.js. */
  async #watchGrowth(): Promise<void> {
    if (!this.#playlist.grows || this.#section >= this.#playlist.count - 1) return;
    await this.#load();
    if (!this.#run.signal.aborted) this.#read();
  }

  /** A section has been played to its end. */
  #goOn(): void {
    if (!this.#hls || this.#section >= this.#playlist.count - 1) return;
    this.#open(this.#section + 1, 0);
    void this.#play();
  }

  #openAt(positionS: number): void {
    const { index, insideS } = this.#playlist.placeOf(positionS);
    this.#open(index, insideS);
  }

  #open(section: number, startPosition: number): void {
    const Hls = this.#Hls;
    if (!Hls) return;
    this.#hls?.destroy();
    this.#section = section;
    this.#passedAll = false;
    this.#targetS = Math.max(0, startPosition);
    const pLoader = this.#playlist.loader(Hls, section, () => this.#url);
    const hls = new Hls({ ...CONFIG, startPosition, pLoader, xhrSetup: (xhr, url) => xhr.open("GET", rebased(url, this.#base), true) });
    this.#hls = hls;
    hls.on(Hls.Events.ERROR, (_event, data) => this.#onError(Hls, data));
    endWithTheLast(Hls, hls, this.video);
    hls.attachMedia(this.video);
    hls.loadSource(this.#url);
  }

  #startNative(fromS: number): void {
    const { video } = this;
    const listening = linkedAbort(this.#run.signal);
    const { signal } = listening;
    video.addEventListener("loadedmetadata", () => this.seek(fromS < 0 ? this.#endS() + fromS : fromS), { once: true, signal });
    video.addEventListener("error", () => void this.#again(false, () => this.#startNative(video.currentTime)), { once: true, signal });
    video.addEventListener("emptied", () => listening.abort(), { once: true, signal });
    video.src = this.#url;
    void this.#play();
  }

  #onError(Hls: HlsClass, data: ErrorData): void {
    const status = data.response?.code ?? 0;
    const refused = status === 401 || status === 403;
    if (data.type === Hls.ErrorTypes.NETWORK_ERROR && (refused || data.fatal || status === 0)) {
      if (status === 404 || status === 410) return data.fatal ? this.view.patch({ failure: "missing" }) : undefined;
      void this.#again(refused, () => this.#reload());
      return;
    }
    if (!data.fatal) return;
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR) this.#passOver();
    else this.view.patch({ failure: "broken" });
  }

  /** A piece that cannot be decoded stops the browser in front of it: go on behind it, further with each try. */
  #passOver(): void {
    const atS = this.#startS + (this.#targetS ?? this.video.currentTime);
    const sinceS = atS - this.#passedToS;
    this.#passes = sinceS > -END_S && sinceS < PASSED_S ? this.#passes + 1 : 1;
    if (this.#passes > MOST_PASSES) return this.view.patch({ failure: "broken" });
    this.#passedToS = atS + PASS_S * this.#passes;
    if (!this.#playlist.grows && this.#passedToS >= this.#playlist.durationS) return this.#endHere();
    const plays = !this.video.paused;
    this.#openAt(this.#passedToS);
    if (plays) void this.#play();
  }

  /** Nothing that can be decoded is left. */
  #endHere(): void {
    this.#hls?.stopLoad();
    this.video.pause();
    this.#passedAll = true;
    this.#read();
  }

  #reload(): void {
    const hls = this.#hls;
    if (!hls) return;
    if (hls.levels.length === 0) hls.loadSource(this.#url);
    else hls.startLoad(this.#targetS ?? this.video.currentTime);
  }

  /** Say what is wrong, wait, and try again; the base may be another by then. */
  async #again(refused: boolean, load: () => void): Promise<void> {
    if (this.#retrying) return;
    this.#retrying = true;
    this.#events.trouble(refused);
    await sleep(delayMs(this.#attempt++, BACKOFF), this.#run.signal).catch(() => undefined);
    this.#retrying = false;
    if (!this.#run.signal.aborted) load();
  }

  async #play(): Promise<void> {
    try {
      await this.video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError" || this.video.muted) return;
      this.video.muted = true;
      await this.video.play().catch(() => undefined);
    }
  }

  /** How far it can be played: all of it, or what there is so far. */
  #endS(): number {
    const { duration, seekable } = this.video;
    const ownS = Number.isFinite(duration) ? duration : seekable.length > 0 ? seekable.end(seekable.length - 1) : 0;
    const isLast = this.#section >= this.#playlist.count - 1;
    return isLast && ownS > 0 ? this.#startS + ownS : this.#playlist.durationS;
  }

  #read(): void {
    const { video } = this;
    const arrived = !video.seeking && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
    if (arrived) this.#targetS = null;
    const endS = this.#endS();
    const isLast = this.#section >= this.#playlist.count - 1;
    const ended = this.#passedAll || (video.ended && this.#targetS === null && isLast);
    this.view.patch({
      positionS: this.#passedAll ? endS : this.#startS + (this.#targetS ?? video.currentTime),
      durationS: endS,
      paused: video.paused,
      waiting: !ended && (video.seeking || video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA),
      ended,
      muted: video.muted,
      volume: video.volume,
      rate: video.playbackRate,
    });
  }
}
