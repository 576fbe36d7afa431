import type { Key } from "../i18n/index.ts";
import type { Alarm, NodeList, PipelineStatus, StreamList } from "../api/schema.ts";

/** The sentence of this page for each code of an alarm. */
const SENTENCES: Partial<Record<string, Key>> = {
  no_healthy_nodes: "alarm.no_nodes",
  nearly_full: "alarm.nearly_full",
  node_offline: "alarm.offline",
  node_full: "alarm.full",
  node_overdue: "alarm.late",
  node_cut_off: "alarm.cut",
  node_report: "alarm.node",
  room_reconnecting: "alarm.reconnecting",
  room_origin_gone: "alarm.origin_gone",
  room_samples_dropped: "alarm.dropped",
  unplayable_codec: "alarm.unplayable_codec",
  unplayable_no_config: "alarm.unplayable_no_config",
  unplayable_no_key_frame: "alarm.unplayable_no_key_frame",
  unplayable_invalid: "alarm.unplayable_invalid",
  unplayable_only_sound: "alarm.unplayable_only_sound",
  unplayable_no_frames: "alarm.unplayable_no_frames",
  unplayable_no_media: "alarm.unplayable_no_media",
  versions_differ: "alarm.versions",
  redis_missing: "alarm.redis",
  postgres_missing: "alarm.postgres",
  member_report: "alarm.member",
  no_consumer: "alarm.no_consumer",
  dead_letters: "alarm.dead_letters",
  cache_late: "alarm.cache_late",
  class_record_late: "alarm.class_record_late",
  classroom_waits: "alarm.classroom_waits",
  recording_disk_full: "alarm.recording_full",
  recording_disk_read_only: "alarm.recording_read_only",
  recording_disk_failed: "alarm.recording_failed",
  recording_disk_slow: "alarm.recording_slow",
  not_produced: "alarm.not_produced",
  outbox_waits: "alarm.outbox_waits",
  not_landed: "alarm.not_landed",
  stuck: "alarm.stuck",
};

/** Return the alarms that the master judged, the worst first. */
export function alarms(nodes: NodeList, streams: StreamList, pipeline: PipelineStatus): Alarm[] {
  const found = [...nodes.alarms, ...streams.alarms, ...pipeline.alarms];
  return found.sort((a, b) => Number(b.level === "critical") - Number(a.level === "critical"));
}

/** Return the key of the page's sentence for the alarm; null: the page does not know its code, and shows the master's text. */
export function sentenceKey({ code }: Alarm): Key | null {
  return SENTENCES[code] ?? null;
}
