import type { AttendanceRow } from "../api/types.ts";
import { language, t } from "../i18n/index.ts";
import { timeOfDay } from "../lib/format.ts";
import { MoreButton, useSome } from "./some.tsx";

const SHOWN = 12;

/** Who attended, with minutes and percent. On a phone each student has two lines. */
export function AttendanceTable({ rows }: { rows: AttendanceRow[] }) {
  const sorted = [...rows].sort((a, b) => a.name.localeCompare(b.name));
  const some = useSome(sorted, SHOWN);
  if (rows.length === 0) return <p class="quiet">{t("attendance.nobody")}</p>;
  return (
    <>
      <table class="attendance-table">
        <thead>
          <tr>
            <th scope="col">{t("attendance.name")}</th>
            <th scope="col">{t("attendance.from")}</th>
            <th scope="col">{t("attendance.to")}</th>
            <th scope="col" class="figure-cell">{t("attendance.minutes")}</th>
            <th scope="col" class="figure-cell">{t("attendance.watched")}</th>
            <th scope="col" class="figure-cell">{t("attendance.percent")}</th>
          </tr>
        </thead>
        <tbody>
          {some.shown.map((row) => (
            <Row key={row.student_id} row={row} />
          ))}
        </tbody>
      </table>
      <MoreButton some={some} />
    </>
  );
}

function Row({ row }: { row: AttendanceRow }) {
  const lang = language.value;
  const minutes = (value: number) => t("attendance.minutes_value", { minutes: value.toFixed(0) });
  return (
    <tr data-user={row.student_id}>
      <th scope="row">
        <bdi>{row.name || t("people.unnamed")}</bdi>
      </th>
      <td class="numbers from">{timeOfDay(row.joined_at, lang)}</td>
      <td class={row.left_at === null ? "numbers to here" : "numbers to"}>{row.left_at === null ? t("attendance.here") : timeOfDay(row.left_at, lang)}</td>
      <td class="numbers figure-cell minutes">{minutes(row.minutes)}</td>
      <td class="numbers figure-cell watched">{minutes(row.watched_minutes)}</td>
      <td class="numbers figure-cell percent">{row.percent.toFixed(0)}%</td>
    </tr>
  );
}
