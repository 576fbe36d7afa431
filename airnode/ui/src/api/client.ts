import { linkedAbort, parseRetryAfter } from "../lib/backoff.ts";
import type { Requests, Responses } from "./schema.ts";
import type { Grant } from "./types.ts";

const TIMEOUT_MS = 10_000;

/** A refused or failed call: an RFC 9457 problem, or `network` when no answer came. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly retryAfterS: number | null;

  constructor(status: number, code: string, detail: string, retryAfterS: number | null = null) {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.retryAfterS = retryAfterS;
  }

  /** The server refuses these credentials: trying again with them is useless. */
  get refused(): boolean {
    return this.status === 401 || this.status === 403;
  }

  /** The request itself is wrong: trying again is useless. */
  get hopeless(): boolean {
    return this.refused || this.status === 400 || this.status === 404 || this.status === 422;
  }
}

export interface Call {
  method?: "GET" | "POST" | "DELETE";
  body?: unknown;
  bearer?: string | undefined;
  signal?: AbortSignal | undefined;
  /** The ETag of what is known already; then the answer may be undefined: it still holds. */
  tag?: string | undefined;
  /** Gets the ETag of the answer. */
  tagged?: (tag: string) => void;
}

export function bearerHeaders(bearer: string | undefined): Record<string, string> {
  return bearer ? { Authorization: `Bearer ${bearer}` } : {};
}

/** Return the answer's JSON. Raises {@link Problem} for everything but a 2xx answer; an abort by the caller is raised as it is. */
export async function call<T>(path: string, { method = "GET", body, bearer, signal, tag, tagged }: Call = {}): Promise<T> {
  const abort = linkedAbort(signal);
  const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
  const init: RequestInit = {
    method,
    headers: { Accept: "application/json", ...bearerHeaders(bearer), ...(tag ? { "If-None-Match": tag } : {}) },
    cache: "no-store",
    signal: abort.signal,
  };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { ...init.headers, "Content-Type": "application/json" };
  }
  try {
    const response = await fetch(path, init);
    if (response.status === 304) return undefined as T;
    if (!response.ok) throw await problemOf(response);
    tagged?.(response.headers.get("ETag") ?? "");
    return (response.status === 204 ? undefined : await response.json()) as T;
  } catch (error) {
    if (error instanceof Problem || signal?.aborted) throw error;
    throw new Problem(0, "network", String(error));
  } finally {
    clearTimeout(timer);
  }
}

/** Return the path of one part of a session's record. */
export function recordPath(room: string, session: string, part: string): string {
  return `/api/rooms/${encodeURIComponent(room)}/record/${encodeURIComponent(session)}?part=${part}`;
}

/** Reads what is asked for again and again: the server sends it only when it is another one than the last (ETag). */
export class Remembered<T> {
  #last: { path: string; tag: string; value: T } | null = null;

  /** Raises {@link Problem}, as {@link call}. */
  async read(path: string, bearer: string): Promise<T> {
    const last = this.#last?.path === path ? this.#last : null;
    let tag = "";
    const value = await call<T | undefined>(path, { bearer, tag: last?.tag, tagged: (found) => (tag = found) });
    if (value === undefined && last) return last.value;
    this.#last = { path, tag, value: value as T };
    return value as T;
  }
}

/** Return the problem document of an answer, also when a proxy answered instead of the server. */
export async function problemOf(response: Response): Promise<Problem> {
  const header = parseRetryAfter(response.headers.get("Retry-After"), Date.now());
  const document = await response.json().catch(() => null);
  const fields = (typeof document === "object" && document !== null ? document : {}) as Record<string, unknown>;
  const text = (key: string) => (typeof fields[key] === "string" ? fields[key] : "");
  const retryAfterS = typeof fields["retry_after_s"] === "number" ? fields["retry_after_s"] : header;
  return new Problem(response.status, text("code") || `http_${response.status}`, text("detail") || text("title"), retryAfterS);
}

export const api = {
  /** Request a token. A student's present token makes it a renewal: the same viewer, who is admitted even when the servers are full. */
  token: (body: Requests["POST /api/token"], present?: string, signal?: AbortSignal): Promise<Grant> =>
    call<Grant>("/api/token", {
      method: "POST",
      body,
      bearer: body.user_type === "student" ? present : undefined,
      signal,
    }),
  room: (room: string, bearer: string, signal?: AbortSignal) =>
    call<Responses["GET /api/rooms/{room}"]>(`/api/rooms/${encodeURIComponent(room)}`, { bearer, signal }),
  /** Where to publish, but not at the nodes `avoid` (ids with commas between them). */
  publishAt: (room: string, avoid: string, bearer: string) =>
    call<Responses["GET /api/rooms/{room}/stream-key"]>(
      `/api/rooms/${encodeURIComponent(room)}/stream-key${avoid ? `?avoid=${encodeURIComponent(avoid)}` : ""}`,
      { bearer },
    ),
  renewKey: (room: string, bearer: string) =>
    call<Responses["POST /api/rooms/{room}/stream-key"]>(`/api/rooms/${encodeURIComponent(room)}/stream-key`, { method: "POST", bearer }),
  changeSettings: (room: string, body: Requests["POST /api/rooms/{room}/settings"], bearer: string) =>
    call<Responses["POST /api/rooms/{room}/settings"]>(`/api/rooms/${encodeURIComponent(room)}/settings`, { method: "POST", body, bearer }),
  endClass: (room: string, bearer: string) => call<Responses["POST /api/rooms/{room}/end"]>(`/api/rooms/${encodeURIComponent(room)}/end`, { method: "POST", bearer }),
  sessions: (room: string, bearer: string) => call<Responses["GET /api/rooms/{room}/record"]>(`/api/rooms/${encodeURIComponent(room)}/record`, { bearer }),
  classes: (archived: boolean, bearer: string) =>
    call<Responses["GET /api/classes"]>(archived ? "/api/classes?archived=true" : "/api/classes", { bearer }),
  addClass: (body: Requests["POST /api/classes"], bearer: string) =>
    call<Responses["POST /api/classes"]>("/api/classes", { method: "POST", body, bearer }),
  /** Rename, archive or restore a class. */
  changeClass: (room: string, body: Requests["POST /api/classes/{room}"], bearer: string) =>
    call<Responses["POST /api/classes/{room}"]>(`/api/classes/${encodeURIComponent(room)}`, { method: "POST", body, bearer }),
  makeTeacherKey: (room: string, bearer: string) =>
    call<Responses["POST /api/classes/{room}/teacher-key"]>(`/api/classes/${encodeURIComponent(room)}/teacher-key`, { method: "POST", bearer }),
  removeTeacherKey: (room: string, bearer: string) => call<undefined>(`/api/classes/${encodeURIComponent(room)}/teacher-key`, { method: "DELETE", bearer }),
  recordings: (room: string, bearer: string) =>
    call<Responses["GET /api/classes/{room}/recordings"]>(`/api/classes/${encodeURIComponent(room)}/recordings`, { bearer }),
  recordingState: (room: string, bearer: string) =>
    call<Responses["GET /api/classes/{room}/recording"]>(`/api/classes/${encodeURIComponent(room)}/recording`, { bearer }),
  record: (room: string, body: Requests["POST /api/classes/{room}/recording"], bearer: string) =>
    call<Responses["POST /api/classes/{room}/recording"]>(`/api/classes/${encodeURIComponent(room)}/recording`, { method: "POST", body, bearer }),
  /** `forget`: remove it from the list although its node is unreachable. */
  removeRecording: (room: string, id: string, forget: boolean, bearer: string) =>
    call<Responses["DELETE /api/classes/{room}/recordings/{recording_id}"]>(
      `/api/classes/${encodeURIComponent(room)}/recordings/${encodeURIComponent(id)}${forget ? "?forget=true" : ""}`,
      { method: "DELETE", bearer },
    ),
};
