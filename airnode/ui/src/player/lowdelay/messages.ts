import type { Failure } from "../engine.ts";
import type { Stamp } from "../fmp4.ts";

/** Why the way of the lowest delay was left: shown in the console. */
export type Reason = "unsupported" | "codec" | "decoder" | "slow" | "underruns";

/** From the page to its worker. */
export type Order =
  | { kind: "start"; url: string; picture: WritableStream<VideoFrame>; free: boolean; sound: boolean }
  | { kind: "url"; url: string }
  /** The port leads to the worklet. */
  | { kind: "sound"; port: MessagePort }
  | { kind: "audible"; on: boolean; outputLatencyS: number }
  | { kind: "paused"; paused: boolean };

/** From the worker to its page. */
export type Report =
  | { kind: "sound"; sampleRate: number; channels: number }
  | { kind: "stamps"; stamps: Stamp[]; endS: number; soundBehindMs: number | null }
  | { kind: "failed"; failure: Failure }
  | { kind: "left"; reason: Reason };

/** From the worker to the worklet. */
export interface Packet {
  planes: Float32Array[];
  mediaS: number;
}

/** From the worklet to the worker. */
export interface Played {
  mediaS: number | null;
  underruns: number;
}
