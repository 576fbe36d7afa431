import type HlsType from "hls.js";
import type { ErrorData, HlsConfig, LoadPolicy } from "hls.js";
import type { Engine, Failure, Level } from "./engine.ts";
import { sameNode, withToken } from "./retoken.ts";
import { followTracks } from "./tracks.ts";

export type HlsClass = typeof HlsType;

const IDLE_MS = 3_000;

let loading: Promise<HlsClass> | null = null;

/** The player's chunk, loaded once; the light build (no subtitles, DRM or separate audio) is enough. */
export function loadHls(): Promise<HlsClass> {
  loading ??= import("hls.js/light").then((module) => module.default as HlsClass);
  loading.catch(() => (loading = null));
  return loading;
}

/** Load it in advance, while the browser is idle, for the case that live.mp4 fails. */
export function loadHlsWhenIdle(): void {
  const load = () => void loadHls().catch(() => undefined);
  if ("requestIdleCallback" in window) requestIdleCallback(load);
  else setTimeout(load, IDLE_MS);
}

function policy(firstByteMs: number, wholeMs: number, retries: number): { default: LoadPolicy["default"] } {
  const retry = { maxNumRetry: retries, retryDelayMs: 250, maxRetryDelayMs: 2_000 };
  return {
    default: {
      maxTimeToFirstByteMs: firstByteMs,
      maxLoadTimeMs: wholeMs,
      timeoutRetry: { ...retry, maxNumRetry: 1 },
      errorRetry: retry,
    },
  };
}

/** Fatal errors must come soon: the page then asks for another node, which hls.js cannot. */
const CONFIG: Partial<HlsConfig> = {
  lowLatencyMode: true,
  // fMP4 passes through nearly untouched: a worker would only add a request before the first frame.
  enableWorker: false,
  // Longer than the longest interval of key frames in the field: a browser removes up to the next key frame.
  backBufferLength: 30,
  maxBufferLength: 12,
  maxMaxBufferLength: 20,
  maxLiveSyncPlaybackRate: 1, // airnode's own Pace does this
  liveSyncOnStallIncrease: 0.25,
  liveDurationInfinity: true,
  startFragPrefetch: true,
  abrEwmaDefaultEstimate: 5_000_000,
  detectStallWithCurrentTimeMs: 750,
  manifestLoadPolicy: policy(5_000, 8_000, 1),
  playlistLoadPolicy: policy(6_000, 8_000, 2),
  fragLoadPolicy: policy(6_000, 15_000, 3),
};

const RECOVERY_PAUSE_MS = 8_000;

export class HlsEngine implements Engine {
  readonly #hls: HlsType;
  readonly #Hls: HlsClass;
  readonly #failed: (failure: Failure) => void;
  readonly #suspect: () => void;
  #url = "";
  #token: string | null = null;
  #recoveredAtMs = -Infinity;

  /** `suspect`: a request got no answer; hls.js goes on trying, but the node may be gone. */
  constructor(Hls: HlsClass, video: HTMLVideoElement, failed: (failure: Failure) => void, suspect: () => void) {
    this.#Hls = Hls;
    this.#failed = failed;
    this.#suspect = suspect;
    this.#hls = new Hls({ ...CONFIG, xhrSetup: (xhr, url) => this.#setUp(xhr, url) });
    this.#hls.on(Hls.Events.ERROR, (_event, data) => this.#onError(data));
    followTracks(Hls, this.#hls, video);
    this.#hls.attachMedia(video);
  }

  /** For the debug object. */
  get instance(): HlsType {
    return this.#hls;
  }

  load(url: string): void {
    this.#url = url;
    this.#token = null;
    this.#hls.loadSource(url);
  }

  adopt(url: string, token: string): boolean {
    if (!sameNode(url, this.#url)) return false;
    this.#token = token;
    return true;
  }

  playingAtMs(): number | null {
    return this.#hls.playingDate?.getTime() ?? null;
  }

  livePosition(): number | null {
    return this.#hls.liveSyncPosition;
  }

  periodS(): number {
    const details = this.#hls.latestLevelDetails;
    return details?.partTarget || details?.targetduration || 1;
  }

  levels(): Level[] {
    return this.#hls.levels.map(({ height, bitrate }) => ({ height, bitrate }));
  }

  setLevel(index: number): void {
    this.#hls.nextLevel = index;
  }

  destroy(): void {
    this.#hls.destroy();
  }

  #setUp(xhr: XMLHttpRequest, url: string): void {
    if (this.#token !== null) xhr.open("GET", withToken(url, this.#token), true);
  }

  #onError(data: ErrorData): void {
    const { ErrorTypes, ErrorDetails } = this.#Hls;
    const status = data.response?.code ?? 0;
    if (data.details === ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR) return this.#failed({ kind: "codec", status });
    // A refused token stays refused: waiting for hls.js to give up only costs time.
    if (status === 401 || status === 403) return this.#failed({ kind: "refused", status });
    if (!data.fatal) {
      if (data.type === ErrorTypes.NETWORK_ERROR && status === 0) this.#suspect();
      return;
    }
    if (data.type === ErrorTypes.NETWORK_ERROR) {
      return this.#failed({ kind: status === 404 || status === 410 ? "missing" : "network", status });
    }
    const now = performance.now();
    if (data.type === ErrorTypes.MEDIA_ERROR && now - this.#recoveredAtMs > RECOVERY_PAUSE_MS) {
      this.#recoveredAtMs = now;
      return this.#hls.recoverMediaError();
    }
    this.#failed({ kind: "media", status });
  }
}
