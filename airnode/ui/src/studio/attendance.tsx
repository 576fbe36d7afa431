import { useState } from "preact/hooks";
import { api } from "../api/client.ts";
import type { AttendanceRow, SessionRecord, SessionSummary } from "../api/types.ts";
import { language, t, type Key } from "../i18n/index.ts";
import { explain } from "../i18n/problem.ts";
import { dayAndTime, timeOfDay } from "../lib/format.ts";
import { usePolled } from "../lib/polled.ts";
import { useStore } from "../lib/hooks.ts";
import { Icon } from "../parts/icons.tsx";
import type { StudioVisit } from "./visit.ts";

const PERIOD_MS = 10_000;
const SHOWN = 12;
const PARTS: readonly (readonly [part: string, words: Key])[] = [
  ["attendance", "attendance.csv_attendance"],
  ["chat", "attendance.csv_chat"],
  ["questions", "attendance.csv_questions"],
  ["polls", "attendance.csv_polls"],
  ["record", "attendance.json"],
];

/** Who attended, with minutes and percent, during and after the class; and the downloads. */
export function Attendance({ visit }: { visit: StudioVisit }) {
  const { grant } = useStore(visit.room.view);
  const [chosen, setChosen] = useState("latest");
  const room = grant?.room ?? "";
  const list = usePolled(PERIOD_MS, room, () => api.sessions(room, grant?.token ?? ""));
  const sessions = list.value?.sessions ?? [];
  const record = usePolled(PERIOD_MS, sessions.length > 0 ? `${room}/${chosen}` : "", () => api.sessionRecord(room, chosen, grant?.token ?? ""));
  if (!grant) return null;
  return (
    <section class="card attendance" aria-labelledby="attendance-title">
      <h2 id="attendance-title">{t("attendance.title")}</h2>
      {sessions.length > 1 && <SessionChoice sessions={sessions} chosen={chosen} onChoose={setChosen} />}
      {list.error !== null && !list.value && <p class="hint error">{explain(list.error)}</p>}
      {list.value && sessions.length === 0 && <p class="quiet">{t("attendance.none")}</p>}
      {record.value && <Table record={record.value} />}
      {record.value && <Downloads visit={visit} record={record.value} />}
    </section>
  );
}

function SessionChoice({ sessions, chosen, onChoose }: { sessions: SessionSummary[]; chosen: string; onChoose: (id: string) => void }) {
  return (
    <select class="input compact" aria-label={t("attendance.session")} value={chosen} onChange={(event) => onChoose(event.currentTarget.value)}>
      {sessions.map(({ session_id, started_at, ended_at }, index) => (
        <option key={session_id} value={index === 0 ? "latest" : session_id}>
          {dayAndTime(started_at, language.value)}
          {ended_at === null ? ` · ${t("attendance.now")}` : ""}
        </option>
      ))}
    </select>
  );
}

function Table({ record }: { record: SessionRecord }) {
  const [all, setAll] = useState(false);
  const rows = [...record.attendance].sort((a, b) => a.name.localeCompare(b.name));
  if (rows.length === 0) return <p class="quiet">{t("attendance.nobody")}</p>;
  return (
    <>
      <div class="table-scroll">
        <table class="attendance-table">
          <thead>
            <tr>
              <th scope="col">{t("attendance.name")}</th>
              <th scope="col">{t("attendance.from")}</th>
              <th scope="col">{t("attendance.to")}</th>
              <th scope="col" class="figure-cell">{t("attendance.minutes")}</th>
              <th scope="col" class="figure-cell">{t("attendance.percent")}</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, all ? rows.length : SHOWN).map((row) => (
              <Row key={row.student_id} row={row} />
            ))}
          </tbody>
        </table>
      </div>
      {rows.length > SHOWN && (
        <button type="button" class="button quiet" onClick={() => setAll(!all)}>
          {all ? t("alarm.fewer") : t("alarm.more", { count: rows.length - SHOWN })}
        </button>
      )}
    </>
  );
}

function Row({ row }: { row: AttendanceRow }) {
  const lang = language.value;
  return (
    <tr data-user={row.student_id}>
      <th scope="row">
        <bdi>{row.name || t("people.unnamed")}</bdi>
      </th>
      <td class="numbers">{timeOfDay(row.joined_at, lang)}</td>
      <td class="numbers">{row.left_at === null ? t("attendance.here") : timeOfDay(row.left_at, lang)}</td>
      <td class="numbers figure-cell">{row.minutes.toFixed(0)}</td>
      <td class="numbers figure-cell">{row.percent.toFixed(0)} %</td>
    </tr>
  );
}

function Downloads({ visit, record }: { visit: StudioVisit; record: SessionRecord }) {
  const [error, setError] = useState("");
  const save = async (part: string) => {
    setError("");
    await visit.download(record.session.session_id, part).catch((problem: unknown) => setError(explain(problem)));
  };
  return (
    <div class="downloads">
      <p class="label">{t("attendance.download")}</p>
      <div class="row">
        {PARTS.map(([part, words]) => (
          <button key={part} type="button" class="button small" onClick={() => void save(part)}>
            <Icon name="download" size={16} />
            {t(words)}
          </button>
        ))}
      </div>
      <p class="hint error" role="alert">
        {error}
      </p>
    </div>
  );
}
