/** What the pages call the types that schema.ts, made from the OpenAPI document, has of the HTTP API. Times are unix seconds. */
import type { RecordingView, RoomView, StreamKeyResponse, TokenResponse } from "./schema.ts";

export type { ClassSummary, RecordingState, StreamInfo, TokenRequest } from "./schema.ts";
export type Recording = RecordingView;
export type RoomStatus = RoomView;
export type RoomState = RoomView["state"];
export type PublishAddress = StreamKeyResponse;

/** The server leaves out what is empty: these are for teachers only. */
type ForTeachers = keyof StreamKeyResponse | "class_code" | "class_url";
export type Grant = Omit<TokenResponse, ForTeachers> & Partial<Pick<TokenResponse, ForTeachers>>;
