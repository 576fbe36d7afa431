import { api, recordPath, Remembered } from "../api/client.ts";
import type { Grant, SessionList, SessionRecord } from "../api/types.ts";
import { language } from "../i18n/index.ts";
import { saveFile } from "../lib/save.ts";

export type Part = "attendance" | "chat" | "questions" | "polls" | "hands";

/** Where a class's record comes from. Every call raises Problem when the server refuses. */
export interface RecordSource {
  /** The same as long as it is the same class; empty: there is none. */
  key: string;
  sessions: () => Promise<SessionList>;
  /** The rows of one part, and how many each part has. `session` may be `latest`. */
  record: (session: string, part: Part) => Promise<SessionRecord>;
  /** Save `attendance`, `chat`, `questions`, `polls` or `hands` as CSV, or the whole `record` as JSON. */
  download: (session: string, file: string) => Promise<void>;
}

/** Return the record of the class that a teacher's token is for; `grant` gives the newest token. */
export function recordOf(room: string, grant: () => Grant | null): RecordSource {
  const token = () => grant()?.token ?? "";
  const newest = new Remembered<SessionRecord>();
  return {
    key: room,
    sessions: () => api.sessions(room, token()),
    record: (session, part) => newest.read(recordPath(room, session, part), token()),
    download: (session, file) => saveFile(addressOf(room, session, file), token()),
  };
}

function addressOf(room: string, session: string, file: string): string {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const name = file === "record" ? "record.json" : `${file}.csv?lang=${language.value}&tz=${encodeURIComponent(zone)}`;
  return `/api/rooms/${encodeURIComponent(room)}/record/${encodeURIComponent(session)}/${name}`;
}
