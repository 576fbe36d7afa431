/** The shapes of airnode's HTTP API that the pages use. Times are unix seconds. */

export type RoomState = "waiting" | "live" | "reconnecting" | "ended";

export interface StreamInfo {
  width: number;
  height: number;
  frame_rate: number;
  bitrate_bps: number;
  video_codecs: string | null;
  audio_codecs: string | null;
  key_frame_interval_s: number | null;
  encoder: string | null;
  uptime_s: number;
  dropped_samples: number;
}

export interface Recording {
  recording_id: string;
  room: string;
  title: string;
  started_at: number;
  ended_at: number | null;
  duration_s: number;
  size_bytes: number;
  /** `interrupted`: its node died while it was being made. */
  status: "recording" | "finished" | "interrupted";
  /** The node that has it is there. */
  available: boolean;
  node_id: string;
  /** Both relative to `<media>/v/<token>/<room>/`; no download: null. */
  playlist_url: string;
  download_url: string | null;
}

export interface RecordingState {
  recording: boolean;
  mode: "off" | "all" | "on-request";
  recording_id: string | null;
}

export interface RoomStatus {
  room: string;
  state: RoomState;
  since: number;
  reconnect_deadline: number | null;
  viewers: number;
  epoch: number;
  server_time: number;
  stream: StreamInfo | null;
  /** It is being recorded now. */
  recording?: boolean;
}

export interface PublishAddress {
  rtmp_url: string;
  rtmp_server: string;
  stream_key: string;
}

export interface Grant extends Partial<PublishAddress> {
  token: string;
  hls_url: string;
  node_id: string;
  node_name: string;
  expires_at: number;
  room: string;
  title: string;
  class_code?: string;
  class_url?: string;
}

export type TokenRequest =
  | { user_type: "student"; user_id: string; code: string; avoid?: string }
  | { user_type: "teacher"; user_id: string; secret: string; room?: string };

export interface ClassSummary {
  room: string;
  title: string;
  class_code: string;
  state: RoomState;
  viewers: number;
}
