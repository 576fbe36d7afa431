import type { Engine, Failure, Level } from "./engine.ts";

/** HTMLMediaElement as Safari has it. */
interface SafariVideo extends HTMLVideoElement {
  getStartDate?(): Date;
}

export function nativeHls(): boolean {
  return document.createElement("video").canPlayType("application/vnd.apple.mpegurl") !== "";
}

/** HLS by the browser itself, where there is no Media Source Extensions (older iPhones). */
export class NativeEngine implements Engine {
  readonly #video: SafariVideo;
  readonly #failed: (failure: Failure) => void;

  constructor(video: HTMLVideoElement, failed: (failure: Failure) => void) {
    this.#video = video;
    this.#failed = failed;
    video.addEventListener("error", this.#onError);
  }

  load(url: string): void {
    this.#video.src = url;
  }

  adopt(): boolean {
    return false;
  }

  playingAtMs(): number | null {
    const start = this.#video.getStartDate?.().getTime() ?? Number.NaN;
    return Number.isNaN(start) ? null : start + this.#video.currentTime * 1000;
  }

  /** Only Safari's: what Chromium calls seekable is not playable yet, and its demuxer gives up on such a seek. */
  livePosition(): number | null {
    const { seekable } = this.#video;
    if (!this.#video.getStartDate) return null;
    return seekable.length > 0 ? seekable.end(seekable.length - 1) : null;
  }

  periodS(): number {
    return 2;
  }

  levels(): Level[] {
    return [];
  }

  setLevel(): void {}

  destroy(): void {
    this.#video.removeEventListener("error", this.#onError);
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  // The element tells no HTTP status: the page asks for a new token and place in every case.
  readonly #onError = (): void => {
    const code = this.#video.error?.code;
    this.#failed({ kind: code === MediaError.MEDIA_ERR_DECODE ? "media" : "network", status: 0 });
  };
}
