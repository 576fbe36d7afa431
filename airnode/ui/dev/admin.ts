/** The cluster and the pipeline for the development server: three nodes, one of them gone, and an hour of orders. */
import type { NodeList, NodeView, PipelineStatus, StreamList } from "../src/api/schema.ts";

const drained = new Set<string>();

function node(name: string, taken: number, away = false): NodeView {
  const status = away ? "offline" : drained.has(name) ? "draining" : "healthy";
  return {
    ...{ node_id: name, node_name: name, current_connections: taken, max_connections: 150, load_percentage: taken / 1.5, status, reserved: 0 },
    ...{ sent_bps: taken * 2_500_000, bandwidth_bps: 1_000_000_000, streams: 1, version: "dev", host: "127.0.0.1", media_port: 8888, rtmp_port: 1935, chat: chatOf(taken, away), last_beat: Date.now() / 1000, last_beat_age_s: away ? 75 : 1, cut_from: [], alarms: [], notices: [] },
  };
}

function chatOf(taken: number, away: boolean): NodeView["chat"] {
  if (away) return { connections: 0, deliveries_per_s: 0, dropped: 0, gaps: 0, alone: false, rooms: {}, room_count: 0 };
  const rooms = { main: { members: Math.round(taken * 0.8), messages_per_s: 2.4 }, "english-4f2a91": { members: Math.round(taken * 0.2), messages_per_s: 0.3 } };
  return { connections: taken, deliveries_per_s: taken * 1.5, dropped: taken > 100 ? 12 : 0, gaps: taken > 100 ? 2 : 0, alone: taken < 50, rooms, room_count: 3 };
}

export function order(name: string, drain: boolean): void {
  if (drain) drained.add(name);
  else drained.delete(name);
}

export function nodeList(): NodeList {
  const nodes = [node("slave-1", 112), node("slave-2", 37), node("slave-3", 0, true)];
  const healthy = nodes.filter(({ status }) => status === "healthy").length;
  return { total_nodes: 3, healthy_nodes: healthy, offline_nodes: 1, total_connections: 149, total_capacity: 300, utilization: 49.7, nodes, alarms: [], masters: [{ node_id: "master", node_name: "master", chat: { ...chatOf(0, true), connections: 1, deliveries_per_s: 0.2 } }] };
}

export function streamList(): StreamList {
  const since = Date.now() / 1000 - 1_500;
  const known = { room: "main", state: "live", origin: "slave-1", origin_name: "slave-1", epoch: 1, edges: {}, relays: {}, dropped_samples: 0, title: "Physics 1" } as const;
  return { total_streams: 1, total_viewers: 149, alarms: [], streams: [{ ...known, notices: [], since, viewers: 149, bitrate_bps: 2_500_000 }] };
}

export function pipelineStatus(running: boolean): PipelineStatus {
  const now = Date.now() / 1000;
  const hour = Array.from({ length: 60 }, (_, index) => index);
  const minutes = hour.map((index) => (Math.floor(now / 60) - 59 + index) * 60);
  const events = hour.map((index) => Math.round((running ? 600 + 80 * Math.sin(index / 4) : 0) * (index < 59 ? 1 : (now % 60) / 60)));
  const topic = (name: string, share: number) => {
    const total = Math.round(events.reduce((sum, each) => sum + each, 0) * share);
    return { topic: name, produced: total, produced_per_s: 10 * share, landed: total, landed_per_s: 10 * share, dead: 0, lag: running ? 1 : null };
  };
  const seen = <T>(value: T): (T | null)[] => hour.map(() => (running ? value : null));
  return {
    ...{ server_time: now, missing: [], alarms: [], running, groups: [], dead_letters: { total: 0, counted_up_to: 10_000, last: [] } },
    members: running ? ["consumer", "producer"].map((role) => ({ role, node_name: "slave-1", troubles: [], notices: [] })) : [],
    topics: [topic("users", 0.15), topic("products", 0.25), topic("orders", 0.6)],
    cache: {
      ...{ users: 1000, products: 1000, swaps: 72, hits: 81_200, misses: 12, hit_ratio: 1, refreshed_at: running ? now - (now % 50) : null },
      ...{ interval_s: 50, oldest_uncached_age_s: 480, worker: "slave-1" },
    },
    orders: { last_hour: 21_600, revenue_last_hour_krw: 1_890_000_000, top_courses: running ? [{ product_id: 5, title: "실전 Python 입문", orders: 31, revenue_krw: 3_069_000 }] : [] },
    class_record: {
      ...{ waiting: 3, oldest_s: 0.4, dropped: 0, last_landed_at: now - (now % 60), max_age_s: 366 * 86_400 },
      kept: { sessions: 214, attendance: 8_920, messages: 100_000, questions: 1_204, polls: 96, poll_answers: 2_310, hands: 640, dead_letters: 1, counted_up_to: 100_000 },
    },
    series: { minutes, elapsed_s: now % 60, produced: events, landed: events, lag: seen(4), hit_ratio: seen(1), orders: events.map((each) => Math.round(each * 0.6)) },
  };
}
