import assert from "node:assert/strict";
import { test } from "node:test";
import { alarms, pipelineAlarms } from "../src/admin/alarms.ts";
import { bandwidth, percent, rate, shortTime } from "../src/admin/figures.ts";
import { latest, lines, span } from "../src/admin/series.ts";
import type { NodeList, NodeView, Notice, PipelineStatus, SeriesView, StreamList, StreamView } from "../src/api/schema.ts";

const NODE: NodeView = {
  ...{ node_id: "n", node_name: "a", current_connections: 10, max_connections: 150, load_percentage: 6.7, status: "healthy", reserved: 0 },
  ...{ sent_bps: 25_000_000, bandwidth_bps: null, streams: 1, version: "1.0", host: "h", media_port: 8888, rtmp_port: 1935, last_beat: 0, last_beat_age_s: 1, cut_from: [], alarms: [], notices: [] },
};
const STREAM: StreamView = {
  ...{ room: "math", state: "live", origin: "n", origin_name: "a", epoch: 1, since: 0, viewers: 3, edges: {}, relays: {}, bitrate_bps: 2_500_000, dropped_samples: 0 },
};
const TOPIC = { topic: "orders", produced: 10, produced_per_s: 1, landed: 10, landed_per_s: 1, dead: 0, lag: 0 };
const CACHE = { users: 1, products: 1, swaps: 1, hits: 1, misses: 0, hit_ratio: 1, refreshed_at: 990, interval_s: 50, oldest_uncached_age_s: 0, worker: "a" };
const MEMBERS = ["consumer", "producer"].map((role) => ({ role, node_name: "a", troubles: [] as string[], notices: [] as Notice[] }));
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
    ...change,
  };
}

function keysOf(nodes: NodeView[], streams: StreamView[] = [], change: Partial<NodeList> = {}): string[] {
  const healthy = nodes.filter((node) => node.status === "healthy").length;
  const list: NodeList = { total_nodes: nodes.length, healthy_nodes: healthy, offline_nodes: 0, total_connections: 0, total_capacity: 0, utilization: 0, nodes, alarms: [], ...change };
  const found: StreamList = { total_streams: streams.length, total_viewers: 0, alarms: [], streams };
  return alarms(list, found, status()).map(({ level, key }) => `${level} ${key}`);
}

test("a well cluster and a well pipeline raise no alarm", () => {
  assert.deepEqual(keysOf([NODE], [STREAM]), []);
});

test("each trouble of the cluster is an alarm, the worst first", () => {
  assert.deepEqual(keysOf([]), ["critical alarm.no_nodes"]);
  assert.deepEqual(keysOf([NODE], [], { utilization: 93.4 }), ["warning alarm.nearly_full"]);
  assert.deepEqual(keysOf([NODE, { ...NODE, status: "overloaded" }, { ...NODE, status: "offline" }]), ["critical alarm.offline", "warning alarm.full"]);
  assert.deepEqual(keysOf([{ ...NODE, last_beat_age_s: 30 }]), ["warning alarm.late"]);
  assert.deepEqual(keysOf([{ ...NODE, cut_from: ["x"], alarms: ["full disk"] }]), ["critical alarm.node", "warning alarm.cut"]);
  assert.deepEqual(keysOf([NODE, { ...NODE, version: "2.0" }, { ...NODE, status: "offline", version: "3.0" }]).slice(1), ["warning alarm.versions"]);
  assert.deepEqual(keysOf([NODE], [{ ...STREAM, origin_name: "", dropped_samples: 3 }]), ["critical alarm.origin_gone", "warning alarm.dropped"]);
  assert.deepEqual(keysOf([NODE], [{ ...STREAM, state: "reconnecting" }]), ["warning alarm.reconnecting"]);
});

test("what a node tells with a code is in the page's words, once; the rest as it came", () => {
  const full: Notice = { code: "recording_disk_full", text: "Recording has stopped: …", fields: { path: "/data" } };
  const next: Notice = { code: "of_a_later_version", text: "Something new.", fields: {} };
  const node: NodeView = { ...NODE, alarms: [full.text, next.text], notices: [full, next] };
  const list: NodeList = { ...{ total_nodes: 1, healthy_nodes: 1, offline_nodes: 0, total_connections: 0, total_capacity: 0, utilization: 0, alarms: [] }, nodes: [node] };
  assert.deepEqual(alarms(list, { total_streams: 0, total_viewers: 0, alarms: [], streams: [] }, status()), [
    { level: "critical", key: "alarm.recording_full", params: { path: "/data", name: "a" } },
    { level: "critical", key: "alarm.node", params: { text: "Something new.", name: "a" } },
  ]);
  const waits = ["one", "two"].map((text): Notice => ({ code: "not_landed", text, fields: {} }));
  const member = { role: "consumer", node_name: "a", troubles: ["one", "two"], notices: waits };
  assert.deepEqual(pipelineAlarms(status({ members: [member] })), [
    { level: "warning", key: "alarm.not_landed", params: { role: "consumer", name: "a" } },
  ]);
});

test("each trouble of the pipeline is an alarm, and a pipeline that nobody runs is none", () => {
  const keys = (change: Partial<PipelineStatus>) => pipelineAlarms(status(change)).map(({ key }) => key);
  assert.deepEqual(keys({ running: false, members: [], cache: { ...CACHE, refreshed_at: 1 } }), []);
  assert.deepEqual(keys({ missing: ["redis", "postgres"] }), ["alarm.redis", "alarm.postgres"]);
  assert.deepEqual(keys({ members: [{ role: "consumer", node_name: "a", troubles: ["away", "away", "stuck"], notices: [] }] }), ["alarm.member", "alarm.member"]);
  assert.deepEqual(keys({ members: MEMBERS.slice(1) }), ["alarm.no_consumer"]);
  assert.deepEqual(keys({ dead_letters: { total: 2, counted_up_to: 10_000, last: [] } }), ["alarm.dead_letters"]);
  assert.deepEqual(keys({ cache: { ...CACHE, refreshed_at: 900 } }), ["alarm.cache_late"]);
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
