/** The pages' names for the types of the HTTP API in schema.ts, which is made from the OpenAPI document. Times are unix seconds. */
import type { RecordingView, RoomView, StreamKeyResponse, TokenResponse } from "./schema.ts";

export type {
  AttendanceRow,
  ChatLine,
  ClassChange,
  ClassList,
  ClassSummary,
  HandRow,
  PollRow,
  QuestionRow,
  RecordingState,
  SessionList,
  SessionRecord,
  RecordCounts,
  SessionSummary,
  StreamInfo,
  TokenRequest,
} from "./schema.ts";
export type Recording = RecordingView;
export type RoomStatus = RoomView;
export type RoomState = RoomView["state"];
/** What an encoder needs to publish. */
export type PublishAddress = Omit<StreamKeyResponse, "browser_url" | "node_id">;

/** Only teachers get these fields, and only students an identity: the server leaves out what is empty. */
type Sometimes = keyof PublishAddress | "class_code" | "class_url" | "name" | "own_class" | "student";
export type Grant = Omit<TokenResponse, Sometimes> & Partial<Pick<TokenResponse, Sometimes>>;
