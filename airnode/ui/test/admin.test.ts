import assert from "node:assert/strict";
import { test } from "node:test";
import { alarms, sentenceKey } from "../src/admin/alarms.ts";
import { bandwidth, percent, rate, shortTime } from "../src/admin/figures.ts";
import { latest, lines, niceTop, span } from "../src/admin/series.ts";
import { perMinute } from "../src/admin/throughput.ts";
import type { Alarm, NodeList, PipelineStatus, SeriesView, StreamList } from "../src/api/schema.ts";

const TOPIC = { topic: "orders", produced: 10, produced_per_s: 1, landed: 10, landed_per_s: 1, dead: 0, lag: 0 };
const CACHE = { users: 1, products: 1, swaps: 1, hits: 1, misses: 0, hit_ratio: 1, refreshed_at: 990, interval_s: 50, oldest_uncached_age_s: 0, worker: "a" };
const MEMBERS = ["consumer", "producer"].map((role) => ({ role, node_name: "a", troubles: [], notices: [] }));
const HOUR = Array.from({ length: 60 }, (_, index) => index);

function series(change: Partial<SeriesView> = {}): SeriesView {
  const none = HOUR.map(() => 0);
  const unknown = HOUR.map(() => null);
  const minutes = HOUR.map((minute) => 600_000 + minute * 60);
  return { minutes, elapsed_s: 31, produced: none, landed: none, lag: unknown, hit_ratio: unknown, orders: none, ...change };
}

function status(change: Partial<PipelineStatus> = {}): PipelineStatus {
  return {
    ...{ server_time: 1000, missing: [], alarms: [], running: true, members: MEMBERS, topics: [TOPIC], groups: [] },
    ...{ dead_letters: { total: 0, counted_up_to: 10_000, last: [] }, cache: CACHE },
    ...{ orders: { last_hour: 0, revenue_last_hour_krw: 0, top_courses: [] }, series: series() },
    class_record: { waiting: 0, oldest_s: 0, dropped: 0, kept: null, last_landed_at: null, max_age_s: 0 },
    ...change,
  };
}

const alarm = (change: Partial<Alarm>): Alarm => ({ level: "warning", code: "node_full", text: "a is full", fields: { name: "a" }, node_id: "n", room: "", ...change });

test("alarms of all three lists are shown, the critical ones first", () => {
  const nodes: NodeList = { total_nodes: 0, healthy_nodes: 0, offline_nodes: 0, total_connections: 0, total_capacity: 0, utilization: 0, nodes: [], masters: [], alarms: [alarm({})] };
  const streams: StreamList = { total_streams: 0, total_viewers: 0, streams: [], alarms: [alarm({ code: "room_reconnecting" })] };
  const pipeline = status({ alarms: [alarm({ code: "redis_missing", level: "critical" })] });
  assert.deepEqual(alarms(nodes, streams, pipeline).map(({ code }) => code), ["redis_missing", "node_full", "room_reconnecting"]);
});

test("an alarm is in the page's words, and in the master's when the page does not know its code", () => {
  assert.equal(sentenceKey(alarm({})), "alarm.full");
  assert.equal(sentenceKey(alarm({ code: "of_a_later_version" })), null);
});

test("nothing is drawn before anything happened, and the running minute counts for what is over of it", () => {
  const produced: number[] = HOUR.map((minute) => (minute < 50 || minute === 55 ? 0 : 600));
  produced[59] = 300;
  const drawn = lines(series({ produced, landed: produced }));
  assert.deepEqual(drawn.produced.slice(48), [null, null, 10, 10, 10, 10, 10, 0, 10, 10, 10, 10]);
  assert.equal(latest(drawn.landed), 10);
  assert.equal(lines(series({ produced, elapsed_s: 4 })).produced.at(-1), null);
  assert.ok(lines(series()).orders.every((value) => value === null));
});

test("a chart shows ten minutes at least and an hour at most", () => {
  const { minutes } = series();
  const end = minutes.at(-1) ?? 0;
  assert.deepEqual(span(minutes, [HOUR.map(() => null)]), [end - 600, end]);
  assert.deepEqual(span(minutes, [HOUR.map((minute) => (minute < 58 ? null : 1))]), [end - 600, end]);
  assert.deepEqual(span(minutes, [HOUR.map(() => null), HOUR.map(() => 1)]), [minutes[0], end]);
});

test("figures", () => {
  assert.equal(percent(100), "100%");
  assert.equal(percent(99.99), "99.9%");
  assert.equal(rate(9.84, "en"), "9.8");
  assert.equal(rate(20_400.6, "en"), "20,401");
  assert.equal(shortTime(75, "en"), "75 sec");
  assert.equal(shortTime(720, "ko"), "12분");
  assert.equal(bandwidth(375_000_000, "en"), "375 Mbit/s");
  assert.equal(bandwidth(1_000_000_000, "en"), "1 Gbit/s");
  assert.equal(bandwidth(640_000, "en"), "640 kbit/s");
});

test("the topmost label is round, has a round half, and no value lies above it", () => {
  assert.deepEqual([null, 0, 0.3, 1, 9.8, 11, 40, 41, 5_000].map(niceTop), [1, 1, 0.4, 2, 10, 20, 40, 60, 6_000]);
  for (let value = 0.01; value < 1e6; value *= 1.07) assert.ok(niceTop(value) >= value, String(value));
});

test("jobs by minute are summed over the queues, the oldest first; minutes that no queue knows are not zero", () => {
  const queue = (completed_per_minute: number[], failed_per_minute: number[]) => ({ completed_per_minute, failed_per_minute });
  const drawn = perMinute([queue([1, 2], []), queue([10], [0, 0, 3])], 6_000_030);
  assert.deepEqual(drawn.at.slice(-2), [5_999_940, 6_000_000]);
  assert.deepEqual(drawn.completed.slice(-3), [null, 2, 11]);
  assert.deepEqual(drawn.failed.slice(-4), [null, 3, 0, 0]);
});
