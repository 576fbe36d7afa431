import type { Slot } from "./layout.ts";
import type { PublishOrder } from "./messages.ts";

/** Breakout box (W3C mediacapture-transform): a stream of a track's frames. Chromium has it on pages. */
interface TrackProcessor {
  readonly readable: ReadableStream<VideoFrame>;
}

declare global {
  interface Window {
    MediaStreamTrackProcessor?: new (init: { track: MediaStreamTrack; maxBufferSize?: number }) => TrackProcessor;
  }
}

type Send = (order: PublishOrder, transfer: Transferable[]) => void;

/**
 * Gives a track's frames to the worker: as a stream, which goes past the page, or where the browser has none (Firefox,
 * Safari), each frame from a video element when the worker asks for it.
 */
export class FrameSource {
  readonly #slot: Slot;
  readonly #send: Send;
  #video: HTMLVideoElement | null = null;

  constructor(slot: Slot, send: Send) {
    this.#slot = slot;
    this.#send = send;
  }

  follow(track: MediaStreamTrack | null): void {
    this.#leaveVideo();
    const slot = this.#slot;
    if (track && window.MediaStreamTrackProcessor) {
      const { readable } = new window.MediaStreamTrackProcessor({ track, maxBufferSize: 2 });
      this.#send({ kind: "picture", slot, frames: readable }, [readable as unknown as Transferable]);
    } else if (track) {
      this.#video = document.createElement("video");
      this.#video.muted = this.#video.playsInline = true;
      this.#video.srcObject = new MediaStream([track]);
      void this.#video.play().catch(() => undefined);
      this.#send({ kind: "grabbing", slot, on: true }, []);
    } else {
      this.#send({ kind: "picture", slot, frames: null }, []);
    }
  }

  /** Send the frame that the video element shows now. */
  grab(): void {
    const video = this.#video;
    if (!video || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    const frame = new VideoFrame(video, { timestamp: Math.round(video.currentTime * 1e6) });
    this.#send({ kind: "frame", slot: this.#slot, frame }, [frame]);
  }

  #leaveVideo(): void {
    if (!this.#video) return;
    this.#video.srcObject = null;
    this.#video = null;
    this.#send({ kind: "grabbing", slot: this.#slot, on: false }, []);
  }
}
