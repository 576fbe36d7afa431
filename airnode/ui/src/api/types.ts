/** The pages' names for the types of the HTTP API in schema.ts, which is made from the OpenAPI document. Times are unix seconds. */
import type { RecordingView, RoomView, StreamKeyResponse, TokenResponse } from "./schema.ts";

export type { ClassSummary, RecordingState, StreamInfo, TokenRequest } from "./schema.ts";
export type Recording = RecordingView;
export type RoomStatus = RoomView;
export type RoomState = RoomView["state"];
/** What an encoder needs to publish. */
export type PublishAddress = Omit<StreamKeyResponse, "browser_url" | "node_id">;

/** Only teachers get these fields: the server leaves out what is empty. */
type ForTeachers = keyof PublishAddress | "class_code" | "class_url";
export type Grant = Omit<TokenResponse, ForTeachers> & Partial<Pick<TokenResponse, ForTeachers>> & { name?: string; student?: string };
