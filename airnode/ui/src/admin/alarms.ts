import type { Key, Params } from "../i18n/index.ts";
import type { NodeList, NodeView, Notice, PipelineStatus, StreamList, StreamView } from "../api/schema.ts";

/** Something that somebody should look at. */
export interface Alarm {
  level: "critical" | "warning";
  key: Key;
  params: Params;
}

const NEARLY_FULL = 90;
const LATE_S = 10;
/** A refresh of the cache that is over its time by more than this is late. */
const CACHE_LATE_S = 15;

/** {what a node calls it: what this page says}. */
const WORDS: Partial<Record<string, Key>> = {
  recording_disk_full: "alarm.recording_full",
  recording_disk_read_only: "alarm.recording_read_only",
  recording_disk_failed: "alarm.recording_failed",
  recording_disk_slow: "alarm.recording_slow",
  not_produced: "alarm.not_produced",
  outbox_waits: "alarm.outbox_waits",
  not_landed: "alarm.not_landed",
  stuck: "alarm.stuck",
};

/** What is wrong in the cluster and in the pipeline, the worst first. */
export function alarms(nodes: NodeList, streams: StreamList, pipeline: PipelineStatus): Alarm[] {
  const found = [
    ...clusterAlarms(nodes),
    ...nodes.nodes.flatMap(nodeAlarms),
    ...streams.streams.flatMap(streamAlarms),
    ...versionAlarms(nodes),
    ...pipelineAlarms(pipeline),
  ];
  return found.sort((a, b) => Number(b.level === "critical") - Number(a.level === "critical"));
}

const critical = (key: Key, params: Params = {}): Alarm => ({ level: "critical", key, params });
const warning = (key: Key, params: Params = {}): Alarm => ({ level: "warning", key, params });

function clusterAlarms({ healthy_nodes, utilization }: NodeList): Alarm[] {
  if (healthy_nodes === 0) return [critical("alarm.no_nodes")];
  return utilization >= NEARLY_FULL ? [warning("alarm.nearly_full", { percent: Math.round(utilization) })] : [];
}

function nodeAlarms(node: NodeView): Alarm[] {
  const name = node.node_name;
  const found: Alarm[] = [];
  if (node.status === "offline") found.push(critical("alarm.offline", { name, seconds: Math.round(node.last_beat_age_s) }));
  else if (node.status === "overloaded") found.push(warning("alarm.full", { name }));
  else if (node.last_beat_age_s > LATE_S) found.push(warning("alarm.late", { name, seconds: Math.round(node.last_beat_age_s) }));
  if (node.cut_from.length > 0 && node.status !== "offline") found.push(warning("alarm.cut", { name, origin: node.cut_from.join(", ") }));
  const own = told(node.notices, node.alarms, (key, params) => critical(key ?? "alarm.node", { ...params, name }));
  return [...found, ...own];
}

/** Notices in this page's words; in English what has none: a code that the page does not know yet, or an older node's. */
function told(notices: Notice[], texts: string[], alarm: (key: Key | null, params: Params) => Alarm): Alarm[] {
  const worded = new Map<string, Alarm>();
  const said = new Set<string>();
  for (const { code, text, fields } of notices) {
    const key = WORDS[code];
    if (key === undefined) continue;
    said.add(text);
    worded.set(code, alarm(key, fields));
  }
  const rest = [...new Set(texts)].filter((text) => !said.has(text));
  return [...worded.values(), ...rest.map((text) => alarm(null, { text }))];
}

function streamAlarms({ room, state, origin, origin_name, dropped_samples: count }: StreamView): Alarm[] {
  const found: Alarm[] = [];
  if (state === "reconnecting") found.push(warning("alarm.reconnecting", { room }));
  if ((state === "live" || state === "reconnecting") && !origin_name) found.push(critical("alarm.origin_gone", { room, origin }));
  if (count > 0) found.push(warning("alarm.dropped", { room, count }));
  return found;
}

function versionAlarms({ nodes }: NodeList): Alarm[] {
  const versions = [...new Set(nodes.filter(({ status }) => status !== "offline").map(({ version }) => version))].sort();
  return versions.length > 1 ? [warning("alarm.versions", { versions: versions.join(", ") })] : [];
}

/** A pipeline that nobody runs is no alarm: most schools have none. */
export function pipelineAlarms({ missing, running, members, topics, dead_letters, cache, server_time }: PipelineStatus): Alarm[] {
  const found = missing.map((store) => critical(store === "redis" ? "alarm.redis" : "alarm.postgres"));
  for (const { role, node_name: name, troubles, notices } of members) {
    found.push(...told(notices, troubles, (key, params) => warning(key ?? "alarm.member", { ...params, role, name })));
  }
  const roles = new Set(members.map(({ role }) => role));
  if (running && !roles.has("consumer") && topics.some(({ produced_per_s }) => produced_per_s > 0)) found.push(warning("alarm.no_consumer"));
  if (dead_letters.total > 0) found.push(warning("alarm.dead_letters", { count: dead_letters.total }));
  const lateS = cache.refreshed_at === null ? 0 : server_time - cache.refreshed_at - cache.interval_s;
  if (roles.has("producer") && lateS > CACHE_LATE_S) found.push(warning("alarm.cache_late", { seconds: Math.round(lateS) }));
  return found;
}
