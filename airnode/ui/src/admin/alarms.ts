import type { Key, Params } from "../i18n/index.ts";
import type { NodeList, NodeView, PipelineStatus, StreamList, StreamView } from "./types.ts";

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
  // A node's own alarms come in its words.
  return [...found, ...node.alarms.map((text) => critical("alarm.node", { name, text }))];
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
  for (const { role, node_name: name, troubles } of members) {
    found.push(...[...new Set(troubles)].map((text) => warning("alarm.member", { role, name, text })));
  }
  const roles = new Set(members.map(({ role }) => role));
  if (running && !roles.has("consumer") && topics.some(({ produced_per_s }) => produced_per_s > 0)) found.push(warning("alarm.no_consumer"));
  if (dead_letters.total > 0) found.push(warning("alarm.dead_letters", { count: dead_letters.total }));
  const lateS = cache.refreshed_at === null ? 0 : server_time - cache.refreshed_at - cache.interval_s;
  if (roles.has("producer") && lateS > CACHE_LATE_S) found.push(warning("alarm.cache_late", { seconds: Math.round(lateS) }));
  return found;
}
