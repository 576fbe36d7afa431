import { useState } from "preact/hooks";
import type { SessionRecord, SessionSummary } from "../api/types.ts";
import { language, t, type Key } from "../i18n/index.ts";
import { explain } from "../i18n/problem.ts";
import { dayAndTime, timeOfDay } from "../lib/format.ts";
import { useNow } from "../lib/hooks.ts";
import { usePolled } from "../lib/polled.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Icon } from "../parts/icons.tsx";
import { AttendanceTable } from "./attendance.tsx";
import { raisedHands } from "./hands.ts";
import { ChatLines, Hands, Questions } from "./lines.tsx";
import { Polls } from "./polls.tsx";
import type { RecordSource } from "./source.ts";

const LIVE_PERIOD_MS = 10_000;
/** What is over changes rarely: a name, a deletion. */
const PERIOD_MS = 120_000;

type Part = "attendance" | "chat" | "questions" | "polls" | "hands";
const PARTS: readonly (readonly [part: Part, words: Key])[] = [
  ["attendance", "attendance.title"],
  ["chat", "classrecord.chat"],
  ["questions", "classrecord.questions"],
  ["polls", "classrecord.polls"],
  ["hands", "classrecord.hands"],
];
const FILES: readonly (readonly [file: string, words: Key])[] = [
  ["attendance", "download.attendance"],
  ["chat", "download.chat"],
  ["questions", "download.questions"],
  ["polls", "download.polls"],
  ["hands", "download.hands"],
  ["record", "download.record"],
];

/** The record of a class. `small`: there is no room for it here; a button opens it over the whole page. */
export function ClassRecord({ source, small }: { source: RecordSource; small: boolean }) {
  const [open, setOpen] = useState(false);
  if (!small) return <section class="card class-record" aria-labelledby="class-record-title"><Content source={source} /></section>;
  return (
    <section class="card" aria-label={t("classrecord.title")}>
      <h2>{t("classrecord.title")}</h2>
      <p class="quiet">{t("classrecord.lead")}</p>
      <button type="button" class="button open-record" onClick={() => setOpen(true)}>
        {t("classrecord.open")}
      </button>
      {open && (
        <Dialog label={t("classrecord.title")} kind="whole" onClose={() => setOpen(false)}>
          <div class="class-record">
            <Content source={source} onClose={() => setOpen(false)} />
          </div>
        </Dialog>
      )}
    </section>
  );
}

/** One session at a time, during and after it: attendance, chat, questions, polls, hands, and the files. */
function Content({ source, onClose }: { source: RecordSource; onClose?: () => void }) {
  const [chosen, setChosen] = useState("latest");
  const list = usePolled(LIVE_PERIOD_MS, source.key, source.sessions);
  const sessions = list.value?.sessions ?? [];
  const session = sessions.find(({ session_id }) => session_id === chosen) ?? sessions[0];
  const period = session?.ended_at === null ? LIVE_PERIOD_MS : PERIOD_MS;
  const record = usePolled(period, session ? `${source.key}/${session.session_id}` : "", () => source.record(session?.session_id ?? ""));
  const error = record.error ?? (list.value ? null : list.error);
  return (
    <>
      <div class="row spread">
        <h2 id="class-record-title">{t("classrecord.title")}</h2>
        {onClose && (
          <button type="button" class="icon-button close" aria-label={t("studio.close")} title={t("studio.close")} onClick={onClose}>
            <Icon name="close" size={20} />
          </button>
        )}
        {sessions.length > 1 && session && <SessionChoice sessions={sessions} chosen={session.session_id} onChoose={setChosen} />}
      </div>
      {error !== null && <p class="hint error">{explain(error)}</p>}
      {list.value && sessions.length === 0 && <p class="quiet">{t("classrecord.none")}</p>}
      {record.value && (
        <>
          <When session={record.value.session} />
          {!record.value.complete && <p class="note warn">{t("classrecord.incomplete")}</p>}
          <Parts key={record.value.session.session_id} record={record.value} />
          <Downloads source={source} session={record.value.session} />
        </>
      )}
    </>
  );
}

function SessionChoice({ sessions, chosen, onChoose }: { sessions: SessionSummary[]; chosen: string; onChoose: (id: string) => void }) {
  return (
    <select class="input compact" aria-label={t("classrecord.session")} value={chosen} onChange={(event) => onChoose(event.currentTarget.value)}>
      {sessions.map(({ session_id, started_at, ended_at }) => (
        <option key={session_id} value={session_id}>
          {dayAndTime(started_at, language.value)}
          {ended_at === null ? ` · ${t("classrecord.now")}` : ""}
        </option>
      ))}
    </select>
  );
}

function When({ session: { started_at, ended_at } }: { session: SessionSummary }) {
  const now = useNow(LIVE_PERIOD_MS, ended_at === null) / 1000;
  const minutes = Math.max(0, Math.round(((ended_at ?? now) - started_at) / 60));
  const from = dayAndTime(started_at, language.value);
  return (
    <p class="quiet numbers">
      {ended_at === null
        ? t("classrecord.live_since", { time: from, minutes })
        : t("classrecord.was_live", { from, to: timeOfDay(ended_at, language.value), minutes })}
    </p>
  );
}

function Parts({ record }: { record: SessionRecord }) {
  const [part, setPart] = useState<Part>("attendance");
  const counts = { ...sizesOf(record), hands: raisedHands(record.hands).length };
  return (
    <div class="record-parts" data-part={part}>
      <div class="parts" role="group" aria-label={t("classrecord.parts")}>
        {PARTS.map(([id, words]) => (
          <button key={id} type="button" id={`record-${id}`} class="tab" aria-pressed={id === part} onClick={() => setPart(id)}>
            {t(words)} <span class="mark numbers">{counts[id]}</span>
          </button>
        ))}
      </div>
      {part === "attendance" && <AttendanceTable rows={record.attendance} />}
      {part === "chat" && <ChatLines lines={record.chat} />}
      {part === "questions" && <Questions rows={record.questions} />}
      {part === "polls" && <Polls polls={record.polls} />}
      {part === "hands" && <Hands rows={record.hands} />}
    </div>
  );
}

function sizesOf({ attendance, chat, questions, polls }: SessionRecord): Record<Exclude<Part, "hands">, number> {
  return { attendance: attendance.length, chat: chat.length, questions: questions.length, polls: polls.length };
}

function Downloads({ source, session }: { source: RecordSource; session: SessionSummary }) {
  const [error, setError] = useState("");
  const save = async (file: string) => {
    setError("");
    await source.download(session.session_id, file).catch((problem: unknown) => setError(explain(problem)));
  };
  return (
    <div class="downloads">
      <p class="label">{t("download.title")}</p>
      <div class="row">
        {FILES.map(([file, words]) => (
          <button key={file} type="button" class="button small" data-file={file} onClick={() => void save(file)}>
            <Icon name="download" size={16} />
            {t(words)}
          </button>
        ))}
      </div>
      {error && (
        <p class="hint error" role="alert">
          {error}
        </p>
      )}
    </div>
  );
}
