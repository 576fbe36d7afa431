import type { StreamInfo } from "../api/types.ts";
import { bitrate, seconds } from "../lib/format.ts";
import type { Advice, Grade, Metric } from "./advice.ts";
import { findings } from "./findings.ts";

interface Reading {
  atMs: number;
  bitrateBps: number;
  frameRate: number;
  dropped: number;
}

const USUAL_MS = 60_000;
const DROPS_MS = 10_000;
/** Encoders need a moment to reach their rate. */
const SETTLE_S = 8;
const HIGH_BITRATE_BPS = 8_000_000;
const LOW_FRAME_RATE = 20;
const FAR_KEY_FRAMES_S = 4;
const HIGH_LATENCY_MS = 4_000;
const FALLEN_BITRATE = 0.5;
const FALLEN_FRAME_RATE = 0.75;

/** Judges a stream by its last minute and gives advice on what is wrong. */
export class StreamHealth {
  #readings: Reading[] = [];

  /** Return the advice, the worst first. `latencyMs`: null when not known. */
  assess(nowMs: number, stream: StreamInfo, latencyMs: number | null): Advice[] {
    this.#keep(nowMs, stream);
    const advice = [
      ...this.#bitrate(stream),
      ...picture(stream),
      ...this.#frameRate(stream),
      ...keyFrames(stream),
      ...this.#drops(nowMs),
      ...latency(latencyMs),
      ...sound(stream),
      ...findings(stream),
    ];
    return advice.sort((a, b) => Number(b.grade === "bad") - Number(a.grade === "bad"));
  }

  #keep(nowMs: number, stream: StreamInfo): void {
    // A new publisher starts a new history.
    if (stream.uptime_s * 1000 < nowMs - (this.#readings[0]?.atMs ?? nowMs) - 5_000) this.#readings = [];
    this.#readings.push({
      atMs: nowMs,
      bitrateBps: stream.bitrate_bps,
      frameRate: stream.frame_rate,
      dropped: stream.dropped_samples,
    });
    this.#readings = this.#readings.filter(({ atMs }) => nowMs - atMs <= USUAL_MS);
  }

  #usual(field: "bitrateBps" | "frameRate"): number {
    const values = this.#readings.map((reading) => reading[field]).sort((a, b) => a - b);
    return values[Math.floor(values.length / 2)] ?? 0;
  }

  #bitrate({ bitrate_bps: now, uptime_s }: StreamInfo): Advice[] {
    if (uptime_s < SETTLE_S) return [];
    if (now <= 0) return [{ metric: "bitrate", grade: "bad", key: "advice.no_data", params: {} }];
    const usual = this.#usual("bitrateBps");
    if (now < usual * FALLEN_BITRATE) {
      return [{ metric: "bitrate", grade: "warn", key: "advice.bitrate_falling", params: { now: bitrate(now), usual: bitrate(usual) } }];
    }
    if (now <= HIGH_BITRATE_BPS) return [];
    return [{ metric: "bitrate", grade: "warn", key: "advice.bitrate_high", params: { now: bitrate(now) } }];
  }

  #frameRate({ frame_rate: now, uptime_s, video_codecs }: StreamInfo): Advice[] {
    if (!video_codecs || uptime_s < SETTLE_S || now <= 0) return [];
    const usual = this.#usual("frameRate");
    const params = { now: Math.round(now), usual: Math.round(usual) };
    if (now < usual * FALLEN_FRAME_RATE) return [{ metric: "frame_rate", grade: "warn", key: "advice.frame_rate_falling", params }];
    if (now < LOW_FRAME_RATE) return [{ metric: "frame_rate", grade: "warn", key: "advice.frame_rate_low", params }];
    return [];
  }

  #drops(nowMs: number): Advice[] {
    const recent = this.#readings.filter(({ atMs }) => nowMs - atMs <= DROPS_MS);
    const count = (recent.at(-1)?.dropped ?? 0) - (recent[0]?.dropped ?? 0);
    return count > 0 ? [{ metric: "frame_rate", grade: "bad", key: "advice.dropping", params: { count } }] : [];
  }
}

function picture({ video_codecs, uptime_s, findings }: StreamInfo): Advice[] {
  if (video_codecs || uptime_s < SETTLE_S || findings.some(({ code }) => code === "video_codec")) return [];
  return [{ metric: "resolution", grade: "warn", key: "advice.no_picture", params: {} }];
}

function sound({ audio_codecs, uptime_s, findings }: StreamInfo): Advice[] {
  if (audio_codecs || uptime_s < SETTLE_S || findings.some(({ code }) => code === "audio_codec")) return [];
  return [{ metric: "sound", grade: "warn", key: "advice.no_sound", params: {} }];
}

function keyFrames({ key_frame_interval_s: interval }: StreamInfo): Advice[] {
  if (interval === null || interval <= FAR_KEY_FRAMES_S) return [];
  return [{ metric: "key_frames", grade: "warn", key: "advice.key_frames_far", params: { now: interval.toFixed(1) } }];
}

function latency(latencyMs: number | null): Advice[] {
  if (latencyMs === null || latencyMs <= HIGH_LATENCY_MS) return [];
  return [{ metric: "latency", grade: "warn", key: "advice.latency_high", params: { now: seconds(latencyMs) } }];
}

/** Return the worst grade that the advice gives one figure. */
export function gradeOf(metric: Metric, advice: Advice[]): Grade {
  const grades = advice.filter((one) => one.metric === metric).map(({ grade }) => grade);
  if (grades.includes("bad")) return "bad";
  return grades.includes("warn") ? "warn" : "ok";
}
