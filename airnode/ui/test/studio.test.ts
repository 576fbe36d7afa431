import assert from "node:assert/strict";
import { test } from "node:test";
import type { StreamInfo } from "../src/api/types.ts";
import { ago, bitrate, clockFormat, seconds, timeOfDay } from "../src/lib/format.ts";
import { ffmpegCommand, maskedCommand } from "../src/studio/command.ts";
import { gradeOf, StreamHealth } from "../src/studio/health.ts";

const GOOD: StreamInfo = {
  width: 1280,
  height: 720,
  frame_rate: 30,
  bitrate_bps: 2_500_000,
  video_codecs: "avc1.42c01f",
  audio_codecs: "mp4a.40.2",
  key_frame_interval_s: 1,
  encoder: "OBS",
  uptime_s: 100,
  dropped_samples: 0,
  findings: [],
};

/** What a stream is told after a minute of `GOOD`. */
function after(change: Partial<StreamInfo>, latencyMs: number | null = 900): string[] {
  const health = new StreamHealth();
  for (let ms = 0; ms < 60_000; ms += 2_000) assert.deepEqual(health.assess(ms, { ...GOOD, uptime_s: 100 + ms / 1_000 }, 900), []);
  return health.assess(60_000, { ...GOOD, uptime_s: 160, ...change }, latencyMs).map(({ key }) => key);
}

test("a good stream is told nothing", () => {
  assert.deepEqual(after({}), []);
  assert.deepEqual(after({}, null), []);
});

test("each fault has its words", () => {
  assert.deepEqual(after({ key_frame_interval_s: 5 }), ["advice.key_frames_far"]);
  assert.deepEqual(after({ bitrate_bps: 1_000_000 }), ["advice.bitrate_falling"]);
  assert.deepEqual(after({ bitrate_bps: 0 }), ["advice.no_data"]);
  assert.deepEqual(after({ bitrate_bps: 9_000_000 }), ["advice.bitrate_high"]);
  assert.deepEqual(after({ frame_rate: 20 }), ["advice.frame_rate_falling"]);
  assert.deepEqual(after({ audio_codecs: "" }), ["advice.no_sound"]);
  assert.deepEqual(after({ video_codecs: "" }), ["advice.no_picture"]);
  assert.deepEqual(after({ dropped_samples: 3 }), ["advice.dropping"]);
  assert.deepEqual(after({}, 5_000), ["advice.latency_high"]);
  assert.deepEqual(new StreamHealth().assess(0, { ...GOOD, frame_rate: 12 }, 900).map(({ key }) => key), ["advice.frame_rate_low"]);
});

test("what the server found in the samples is said in the page's words", () => {
  const found = (code: string) => ({ code, text: "", fields: {}, level: "warning" as const });
  assert.deepEqual(after({ findings: [found("annexb"), found("of a later version")] }), ["finding.annexb"]);
  const refused = { ...found("audio_codec"), fields: { codec: "MP3" } };
  assert.deepEqual(after({ audio_codecs: "", findings: [refused] }), ["finding.audio_codec"]);
  assert.deepEqual(after({ video_codecs: "", findings: [found("video_codec")] }), ["finding.video_codec"]);
  assert.deepEqual(new StreamHealth().assess(0, { ...GOOD, findings: [refused] }, 900)[0]?.params, { codec: "MP3" });
});

test("the worst comes first and colours its figure", () => {
  const advice = new StreamHealth().assess(0, { ...GOOD, bitrate_bps: 0, key_frame_interval_s: 9 }, 900);
  assert.deepEqual(advice.map(({ grade }) => grade), ["bad", "warn"]);
  assert.equal(gradeOf("bitrate", advice), "bad");
  assert.equal(gradeOf("key_frames", advice), "warn");
  assert.equal(gradeOf("latency", advice), "ok");
});

test("an encoder that has just started, or started again, is not compared with before", () => {
  assert.deepEqual(new StreamHealth().assess(0, { ...GOOD, uptime_s: 1, bitrate_bps: 0, audio_codecs: "" }, null), []);
  assert.deepEqual(after({ uptime_s: 9, bitrate_bps: 900_000 }), []);
});

test("the command is whole when copied and hides the key when shown", () => {
  const others = { srt_url: "", rtsp_url: "", whip_url: "" };
  const address = { rtmp_url: "rtmp://h/live/main?key=s3cret", rtmp_server: "rtmp://h/live", stream_key: "main?key=s3cret", ...others };
  assert.ok(ffmpegCommand(address.rtmp_url).endsWith("-f flv 'rtmp://h/live/main?key=s3cret'"));
  assert.ok(!maskedCommand(address).includes("s3cret"));
  const plain = { rtmp_url: "rtmp://h/live/s3cret", rtmp_server: "rtmp://h/live", stream_key: "s3cret", ...others };
  assert.ok(!maskedCommand(plain).includes("s3cret"));
  assert.ok(ffmpegCommand("rtmp://h/it's").includes("'rtmp://h/it'\\''s'"));
});

test("figures", () => {
  assert.equal(bitrate(2_512_000), "2.5 Mbit/s");
  assert.equal(bitrate(640_400), "640 kbit/s");
  assert.equal(seconds(940), "0.9 s");
  assert.equal(seconds(12_400), "12 s");
  assert.equal(clockFormat(7), "0:07");
  assert.equal(clockFormat(3_725), "1:02:05");
});

test("ages and times are as people say them", () => {
  assert.equal(ago(1_000, 1_059, "en", "just now"), "just now");
  assert.equal(ago(1_000, 990, "en", "just now"), "just now", "the server's clock is a little ahead");
  assert.equal(ago(1_000, 1_060, "en", "just now"), "1 minute ago");
  assert.equal(ago(1_000, 1_000 + 2 * 86_400, "ko", "방금"), "그저께");
  const evening = new Date(2026, 10, 30, 18, 59).getTime() / 1000;
  assert.equal(timeOfDay(evening, "ko"), "오후 6:59");
  assert.match(timeOfDay(evening, "en"), /^6:59\sPM$/);
});
