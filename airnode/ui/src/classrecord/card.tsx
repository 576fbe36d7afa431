import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import type { RecordCounts, SessionRecord, SessionSummary } from "../api/types.ts";
import { language, t, type Key } from "../i18n/index.ts";
import { explain } from "../i18n/problem.ts";
import { dayAndTime, timeOfDay } from "../lib/format.ts";
import { useNow } from "../lib/hooks.ts";
import { usePolled } from "../lib/polled.ts";
import { Spinner } from "../live/curtain.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Icon } from "../parts/icons.tsx";
import { AttendanceTable } from "./attendance.tsx";
import { ChatLines, Hands, Questions } from "./lines.tsx";
import { Polls } from "./polls.tsx";
import type { Part, RecordSource } from "./source.ts";

/** The newest session, whichever that is. */
const LATEST = "latest";
const LIVE_PERIOD_MS = 10_000;
/** What is over changes rarely: a name, a deletion. */
const PERIOD_MS = 120_000;

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

interface RecordProps {
  source: RecordSource;
  /** The class is live now: its session may have begun a moment ago. */
  live: boolean;
}

/** The record of a class. `small`: there is no room for it here; a button opens it over the whole page. */
export function ClassRecord({ source, live, small }: RecordProps & { small: boolean }) {
  const [open, setOpen] = useState(false);
  if (!small) return <section class="card class-record" aria-labelledby="class-record-title"><Content source={source} live={live} /></section>;
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
            <Content source={source} live={live} onClose={() => setOpen(false)} />
          </div>
        </Dialog>
      )}
    </section>
  );
}

/** One session at a time, during and after it: attendance, chat, questions, polls, hands, and the files. */
function Content({ source, live, onClose }: RecordProps & { onClose?: () => void }) {
  const [chosen, setChosen] = useState(LATEST);
  const [part, setPart] = useState<Part>("attendance");
  const list = useSessions(source);
  const { sessions, compare } = list;
  const of = `${source.key}/${chosen}`;
  const chosenSession = sessions.find(({ session_id }) => session_id === chosen) ?? sessions[0];
  const period = chosenSession?.ended_at === null || (live && chosen === LATEST) ? LIVE_PERIOD_MS : PERIOD_MS;
  const read = async () => {
    const record = await source.record(chosen, part);
    compare(record.session);
    return { part, record };
  };
  const shown = usePolled(period, sessions.length > 0 ? `${of}/${part}` : "", read, of);
  const record = shown.value?.record;
  const error = shown.error ?? (list.value ? null : list.error);
  return (
    <>
      <div class="row spread">
        <h2 id="class-record-title">{t("classrecord.title")}</h2>
        {onClose && (
          <button type="button" class="icon-button close" aria-label={t("studio.close")} title={t("studio.close")} onClick={onClose}>
            <Icon name="close" size={20} />
          </button>
        )}
        {sessions.length > 1 && <SessionChoice sessions={sessions} chosen={chosen} onChoose={setChosen} />}
      </div>
      {error !== null && <p class="hint error">{explain(error)}</p>}
      {list.value && sessions.length === 0 && <p class="quiet">{t("classrecord.none")}</p>}
      {record && shown.value && (
        <>
          <When session={record.session} />
          {!record.complete && <p class="note warn">{t("classrecord.incomplete")}</p>}
          <Parts counts={record.counts} part={part} onChoose={setPart}>
            {shown.value.part === part ? <Rows key={record.session.session_id} record={record} part={part} /> : <Spinner />}
          </Parts>
          <Downloads source={source} session={record.session} />
        </>
      )}
    </>
  );
}

/** The sessions. They change rarely; `compare` asks anew where a record knows better. */
function useSessions(source: RecordSource) {
  const [news, setNews] = useState("");
  const known = useRef<SessionSummary[]>([]);
  const period = known.current.length === 0 ? LIVE_PERIOD_MS : PERIOD_MS;
  const list = usePolled(period, `${source.key} ${news}`, source.sessions, source.key);
  known.current = list.value?.sessions ?? [];
  const compare = ({ session_id, ended_at }: SessionSummary) => {
    const same = known.current.some((one) => one.session_id === session_id && (one.ended_at === null) === (ended_at === null));
    if (!same) setNews(`${session_id} ${ended_at}`);
  };
  return { ...list, sessions: known.current, compare };
}

function SessionChoice({ sessions, chosen, onChoose }: { sessions: SessionSummary[]; chosen: string; onChoose: (id: string) => void }) {
  return (
    <select class="input compact" aria-label={t("classrecord.session")} value={chosen} onChange={(event) => onChoose(event.currentTarget.value)}>
      {sessions.map(({ session_id, started_at, ended_at }, index) => (
        <option key={session_id} value={index === 0 ? LATEST : session_id}>
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

interface PartsProps {
  counts: RecordCounts;
  part: Part;
  onChoose: (part: Part) => void;
  children: ComponentChildren;
}

function Parts({ counts, part, onChoose, children }: PartsProps) {
  return (
    <div class="record-parts" data-part={part}>
      <div class="parts" role="group" aria-label={t("classrecord.parts")}>
        {PARTS.map(([id, words]) => (
          <button key={id} type="button" id={`record-${id}`} class="tab" aria-pressed={id === part} onClick={() => onChoose(id)}>
            {t(words)} <span class="mark numbers">{counts[id]}</span>
          </button>
        ))}
      </div>
      {children}
    </div>
  );
}

function Rows({ record, part }: { record: SessionRecord; part: Part }) {
  switch (part) {
    case "attendance":
      return <AttendanceTable rows={record.attendance} />;
    case "chat":
      return <ChatLines lines={record.chat} />;
    case "questions":
      return <Questions rows={record.questions} />;
    case "polls":
      return <Polls polls={record.polls} />;
    case "hands":
      return <Hands rows={record.hands} />;
  }
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
