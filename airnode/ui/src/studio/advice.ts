import type { Key, Params } from "../i18n/index.ts";

export type Grade = "ok" | "warn" | "bad";
export type Metric = "bitrate" | "resolution" | "frame_rate" | "key_frames" | "latency" | "sound";

export interface Advice {
  metric: Metric;
  grade: Exclude<Grade, "ok">;
  key: Key;
  params: Params;
}
