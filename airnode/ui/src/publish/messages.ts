import type { Quality } from "./ladder.ts";
import type { Layout, Slot } from "./layout.ts";

/** Where to publish, as the master answers it. */
export interface Place {
  url: string;
  key: string;
  nodeId: string;
}

/** Why publishing ended for good, or why it is being tried again. `code` is a problem's code. */
export interface Trouble {
  code: string;
  detail: string;
}

/** What goes out, every half second. */
export interface Figures {
  width: number;
  height: number;
  frameRate: number;
  bitrateBps: number;
  /** The bit rate that the uplink allows. */
  allowedBps: number;
  /** How late the uplink is. */
  lateMs: number;
  /** Frames that were left out, because of the uplink or because encoding is slow. */
  dropped: number;
}

export type UplinkState = "connecting" | "live" | "reconnecting";

/** From the page to its worker. */
export type PublishOrder =
  | { kind: "start"; encoder: string; quality: Quality }
  /** The answer to `locate`. */
  | { kind: "place"; place: Place }
  | { kind: "noPlace"; trouble: Trouble; hopeless: boolean; retryAfterS: number | null }
  /** Frames of a camera or screen; null: it has ended. */
  | { kind: "picture"; slot: Slot; frames: ReadableStream<VideoFrame> | null }
  /** The page takes the frames itself, on request, where the browser gives no stream of them. */
  | { kind: "grabbing"; slot: Slot; on: boolean }
  | { kind: "frame"; slot: Slot; frame: VideoFrame }
  /** The port leads to the worklet. */
  | { kind: "sound"; port: MessagePort }
  | { kind: "layout"; layout: Layout }
  /** The network is there again, or the page woke up. */
  | { kind: "hurry" }
  | { kind: "stop" };

/** From the worker to its page. */
export type PublishReport =
  | { kind: "state"; state: UplinkState; trouble: Trouble | null }
  | { kind: "locate"; avoid: string }
  | { kind: "grab"; slot: Slot }
  | { kind: "figures"; figures: Figures }
  | { kind: "remark"; trouble: Trouble }
  | { kind: "ended"; trouble: Trouble | null };

/** From the worklet to the worker: samples in [-1, 1], one array a channel. */
export interface Samples {
  planes: Float32Array<ArrayBuffer>[];
}
