/** The shapes of the cluster's and the pipeline's API that the admin page uses. Times are unix seconds. */
import type { RoomState } from "../api/types.ts";

export type NodeStatus = "healthy" | "draining" | "overloaded" | "offline";

/** Something that somebody should look at: a code with what stands in its words, and the same as an English sentence. */
export interface Notice {
  code: string;
  text: string;
  fields: Record<string, string | number>;
}

export interface NodeView {
  node_id: string;
  node_name: string;
  current_connections: number;
  max_connections: number;
  load_percentage: number;
  status: NodeStatus;
  reserved: number;
  sent_bps: number;
  bandwidth_bps: number | null;
  streams: number;
  version: string;
  last_beat_age_s: number;
  cut_from: string[];
  alarms: string[];
  notices: Notice[];
}

export interface NodeList {
  total_nodes: number;
  healthy_nodes: number;
  offline_nodes: number;
  total_connections: number;
  total_capacity: number;
  utilization: number;
  nodes: NodeView[];
}

export interface StreamView {
  room: string;
  state: RoomState;
  origin: string;
  origin_name: string;
  since: number;
  viewers: number;
  edges: Record<string, number>;
  bitrate_bps: number;
  dropped_samples: number;
}

export interface StreamList {
  total_streams: number;
  total_viewers: number;
  streams: StreamView[];
}

export interface TopicView {
  topic: string;
  produced: number;
  produced_per_s: number;
  landed: number;
  landed_per_s: number;
  dead: number;
  lag: number | null;
}

export interface LetterView {
  letter_id: string;
  topic: string;
  partition: number;
  offset: string;
  reason: string;
  detail: string;
  attempts: number;
  died_at: number;
}

export interface CacheView {
  users: number;
  products: number;
  swaps: number;
  hits: number;
  misses: number;
  hit_ratio: number | null;
  refreshed_at: number | null;
  interval_s: number;
  oldest_uncached_age_s: number;
  worker: string;
}

export interface CourseView {
  product_id: number;
  title: string;
  orders: number;
  revenue_krw: number;
}

/** The last hour by minute, the running one last; `elapsed_s` of it are over. */
export interface SeriesView {
  minutes: number[];
  elapsed_s: number;
  produced: number[];
  landed: number[];
  lag: (number | null)[];
  hit_ratio: (number | null)[];
  orders: number[];
}

export interface PipelineStatus {
  server_time: number;
  missing: ("redis" | "postgres")[];
  running: boolean;
  members: { role: string; node_name: string; troubles: string[]; notices: Notice[] }[];
  topics: TopicView[];
  groups: { group: string; topic: string; records: number }[];
  dead_letters: { total: number; counted_up_to: number; last: LetterView[] };
  cache: CacheView;
  orders: { last_hour: number; revenue_last_hour_krw: number; top_courses: CourseView[] };
  series: SeriesView;
}
