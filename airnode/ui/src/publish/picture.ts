import { contained, insetArea, type Layout, type Slot } from "./layout.ts";

const BACKGROUND = "#14181f";
const SIGN = "#5d6778";
/** Without a new frame for this long, the last picture is sent again: a screen that stands still gives none. */
const REPEAT_MS = 250;
/** A frame may come this much early, so that a camera of exactly the wanted rate loses none. */
const EARLY = 0.75;

export interface PictureEvents {
  /** A picture to encode; the receiver closes it. */
  picture(frame: VideoFrame, sourceUs: number | null): void;
}

/**
 * Makes the pictures to encode from the newest frames of camera and screen: the right size, at most so many a second. A
 * frame that fits already passes as it is. Whatever its form, a source is shown whole, so that a telephone that is turned
 * changes neither the size of the stream nor anything at the students'.
 */
export class Picture {
  readonly #events: PictureEvents;
  readonly #canvas = new OffscreenCanvas(2, 2);
  readonly #context = this.#canvas.getContext("2d", { alpha: false, desynchronized: true });
  readonly #latest = new Map<Slot, VideoFrame>();
  #layout: Layout = { main: null, inset: false };
  #size = { width: 1280, height: 720 };
  #frameMs = 1_000 / 30;
  #sentMs = 0;

  constructor(events: PictureEvents) {
    this.#events = events;
  }

  set layout(layout: Layout) {
    this.#layout = layout;
    this.#sentMs = 0;
  }

  /** Size and frame rate of what is encoded. */
  aim(width: number, height: number, frameRate: number): void {
    this.#size = { width, height };
    this.#frameMs = 1_000 / frameRate;
  }

  /** Take a frame. */
  put(slot: Slot, frame: VideoFrame, nowMs: number): void {
    this.#latest.get(slot)?.close();
    this.#latest.set(slot, frame);
    if (slot === this.#layout.main && nowMs - this.#sentMs >= this.#frameMs * EARLY) this.#send(nowMs, frame.timestamp);
  }

  /** A source has ended. */
  drop(slot: Slot): void {
    this.#latest.get(slot)?.close();
    this.#latest.delete(slot);
  }

  /** Send a picture again where no source gives a new one; call it every 100 ms or so. */
  tick(nowMs: number): void {
    if (nowMs - this.#sentMs >= REPEAT_MS) this.#send(nowMs, null);
  }

  close(): void {
    for (const slot of [...this.#latest.keys()]) this.drop(slot);
  }

  #send(nowMs: number, sourceUs: number | null): void {
    // The next frame is due a frame after this one was, not after it came.
    const dueMs = this.#sentMs + this.#frameMs;
    this.#sentMs = nowMs - dueMs < this.#frameMs ? Math.min(dueMs, nowMs) : nowMs;
    const main = this.#layout.main ? this.#latest.get(this.#layout.main) : undefined;
    if (main && !this.#layout.inset && this.#fits(main)) return this.#events.picture(main.clone(), sourceUs);
    const drawn = this.#draw(main);
    if (drawn) this.#events.picture(drawn, sourceUs);
  }

  #fits(frame: VideoFrame): boolean {
    const { width, height } = this.#size;
    const turned = "rotation" in frame && frame.rotation !== 0;
    return frame.displayWidth === width && frame.displayHeight === height && frame.codedWidth >= width && !turned;
  }

  #draw(main: VideoFrame | undefined): VideoFrame | null {
    const context = this.#context;
    const { width, height } = this.#size;
    if (!context) return null;
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
    }
    context.fillStyle = BACKGROUND;
    context.fillRect(0, 0, width, height);
    if (main) {
      const to = contained(main.displayWidth, main.displayHeight, { x: 0, y: 0, width, height });
      context.drawImage(main, to.x, to.y, to.width, to.height);
    } else if (this.#layout.main === null) {
      this.#drawSign(context);
    }
    const camera = this.#layout.inset ? this.#latest.get("camera") : undefined;
    if (camera) {
      const to = insetArea(camera.displayWidth, camera.displayHeight, this.#size);
      context.drawImage(camera, to.x, to.y, to.width, to.height);
      context.strokeStyle = BACKGROUND;
      context.lineWidth = Math.max(2, width / 640);
      context.strokeRect(to.x, to.y, to.width, to.height);
    }
    return new VideoFrame(this.#canvas, { timestamp: 0 });
  }

  /** A camera, crossed out: nothing is shown on purpose. */
  #drawSign(context: OffscreenCanvasRenderingContext2D): void {
    const { width, height } = this.#size;
    const unit = height / 24;
    context.save();
    context.translate(width / 2 - unit * 3, height / 2 - unit * 3);
    context.scale(unit / 4, unit / 4);
    context.strokeStyle = SIGN;
    context.lineWidth = 1.5;
    context.lineJoin = context.lineCap = "round";
    context.stroke(new Path2D("M3 7h12v10H3zM15 10.5l6-3.5v10l-6-3.5M3 3l18 18"));
    context.restore();
  }
}
