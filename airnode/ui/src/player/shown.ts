/** The last frame is still the newest one for so long; later the picture stands still, and gets older. */
const FRAME_MS = 250;

/**
 * How old the picture is: the time between a frame's capture (as the stream's clock says) and its appearance on screen.
 *
 * `tests/bench/delay.py` measures the same from outside: the moment of appearance is `expectedDisplayTime` of
 * `requestVideoFrameCallback`, or the callback's own time where that is later.
 */
export class ShownFrames {
  readonly #video: HTMLVideoElement;
  readonly #capturedAtMs: (mediaS: number) => number | null;
  #handle = 0;
  #shownAtMs = Number.NaN;
  #ageMs = Number.NaN;
  #mediaS = -1;

  /** `capturedAtMs`: when the frame at a media time was captured, unix ms. */
  constructor(video: HTMLVideoElement, capturedAtMs: (mediaS: number) => number | null) {
    this.#video = video;
    this.#capturedAtMs = capturedAtMs;
    this.#wait();
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

  readonly #onFrame = (now: number, frame: VideoFrameCallbackMetadata): void => {
    this.#wait();
    this.#mediaS = frame.mediaTime;
    const capturedAtMs = this.#capturedAtMs(frame.mediaTime);
    if (capturedAtMs === null) return;
    this.#shownAtMs = Math.max(now, frame.expectedDisplayTime);
    this.#ageMs = performance.timeOrigin + this.#shownAtMs - capturedAtMs;
  };
}
