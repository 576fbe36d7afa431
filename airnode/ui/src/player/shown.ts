/** The last frame is still the newest one for so long; later the picture stands still, and gets older. */
const FRAME_MS = 250;
const USUAL_REFRESH_MS = 1000 / 60;
/** The shortest of so many refreshes of the screen is the interval between two of them. */
const REFRESHES = 20;
const LEAST_REFRESH_MS = 3;

/**
 * How old the picture is: the time between a frame's capture (as the stream's clock says) and its appearance on screen.
 *
 * `tests/bench/delay.py` measures the same from outside: the moment of appearance is `expectedDisplayTime` of
 * `requestVideoFrameCallback`, and at least one refresh of the screen after the callback's own time. The latter counts
 * where a track is played (WebCodecs): there Chromium only says when it got the frame.
 */
export class ShownFrames {
  readonly #video: HTMLVideoElement;
  readonly #capturedAtMs: (mediaS: number) => number | null;
  #handle = 0;
  #shownAtMs = Number.NaN;
  #ageMs = Number.NaN;
  #mediaS = -1;
  #refreshMs = USUAL_REFRESH_MS;

  /** `capturedAtMs`: when the frame at a media time was captured, unix ms. */
  constructor(video: HTMLVideoElement, capturedAtMs: (mediaS: number) => number | null) {
    this.#video = video;
    this.#capturedAtMs = capturedAtMs;
    this.#wait();
    this.#measureRefresh();
  }

  /** When the picture on screen was captured, unix ms; null: no frame was seen lately (a hidden page shows none). */
  capturedNowMs(): number | null {
    const now = performance.now();
    const sinceMs = now - this.#shownAtMs;
    if (!(sinceMs < 2_000)) return null;
    return Date.now() - this.#ageMs - Math.max(0, sinceMs - FRAME_MS);
  }

  /** The media time of the picture on screen; -1: none was seen. */
  get mediaS(): number {
    return this.#mediaS;
  }

  /** The timeline changed. */
  reset(): void {
    this.#shownAtMs = Number.NaN;
  }

  destroy(): void {
    if ("cancelVideoFrameCallback" in this.#video) this.#video.cancelVideoFrameCallback(this.#handle);
  }

  #wait(): void {
    if ("requestVideoFrameCallback" in this.#video) this.#handle = this.#video.requestVideoFrameCallback(this.#onFrame);
  }

  #measureRefresh(): void {
    let [left, last, shortest] = [REFRESHES, Number.NaN, Infinity];
    const look = (now: number) => {
      if (now - last >= LEAST_REFRESH_MS) shortest = Math.min(shortest, now - last);
      last = now;
      if ((left -= 1) > 0) requestAnimationFrame(look);
      else if (shortest < FRAME_MS) this.#refreshMs = shortest;
    };
    requestAnimationFrame(look);
  }

  readonly #onFrame = (now: number, frame: VideoFrameCallbackMetadata): void => {
    this.#wait();
    this.#mediaS = frame.mediaTime;
    const capturedAtMs = this.#capturedAtMs(frame.mediaTime);
    if (capturedAtMs === null) return;
    this.#shownAtMs = Math.max(now + this.#refreshMs, frame.expectedDisplayTime);
    this.#ageMs = performance.timeOrigin + this.#shownAtMs - capturedAtMs;
  };
}
