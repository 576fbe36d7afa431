import { useState } from "preact/hooks";
import { language, t, type Key } from "../i18n/index.ts";
import { explain } from "../i18n/problem.ts";
import { ago, bytes } from "../lib/format.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Bar } from "./cluster.tsx";
import { whole } from "./figures.ts";
import type { JobDetail, JobList, JobView } from "../api/schema.ts";
import type { AdminVisit, JobChoice } from "./visit.ts";

const NAMES: Record<JobView["state"], Key> = {
  active: "jobs.active",
  waiting: "jobs.waiting",
  delayed: "jobs.delayed",
  "waiting-children": "jobs.waiting_children",
  failed: "jobs.failed",
  cancelled: "jobs.cancelled",
  completed: "jobs.completed",
};
const FILTERS: readonly [JobChoice["state"], Key][] = [
  ["", "jobs.all"],
  ["active", "jobs.active"],
  ["waiting", "jobs.waiting"],
  ["failed", "jobs.failed_or_cancelled"],
  ["completed", "jobs.completed"],
];
const ENDED: readonly JobView["state"][] = ["failed", "cancelled", "completed"];

interface Props {
  visit: AdminVisit;
  list: JobList;
  choice: JobChoice;
  now: number;
}

/** The jobs of a queue, to be looked at, tried again or cancelled. */
export function JobTable({ visit, list, choice, now }: Props) {
  const [detail, setDetail] = useState<JobDetail | null>(null);
  const [doomed, setDoomed] = useState<JobView | null>(null);
  const [error, setError] = useState("");
  const attempt = async (work: () => Promise<void>) => {
    setError("");
    await work().catch((problem: unknown) => setError(t("studio.failed", { reason: explain(problem) })));
  };
  return (
    <section class="board-part" aria-labelledby="jobs-list">
      <div class="board-head">
        <h2 id="jobs-list">{t("jobs.list", { queue: list.queue })}</h2>
        <label>
          <span class="visually-hidden">{t("jobs.state")}</span>
          <select value={choice.state} onChange={(event) => visit.choose({ state: event.currentTarget.value as JobChoice["state"], first: 0 })}>
            {FILTERS.map(([state, name]) => (
              <option key={state} value={state}>
                {t(name)}
              </option>
            ))}
          </select>
        </label>
      </div>
      {error && (
        <p class="hint error" role="alert">
          {error}
        </p>
      )}
      {list.jobs.length === 0 ? (
        <p class="card quiet">{t("jobs.none")}</p>
      ) : (
        <Rows
          jobs={list.jobs}
          now={now}
          onShow={(job) => attempt(async () => setDetail(await visit.job(job)))}
          onRetry={(job) => attempt(() => visit.retryJob(job))}
          onCancel={setDoomed}
        />
      )}
      <Pages visit={visit} list={list} />
      {detail && <Details detail={detail} onClose={() => setDetail(null)} />}
      {doomed && (
        <CancelDialog
          job={doomed}
          onClose={() => setDoomed(null)}
          onCancel={() => {
            setDoomed(null);
            return attempt(() => visit.cancelJob(doomed));
          }}
        />
      )}
    </section>
  );
}

interface RowsProps {
  jobs: JobView[];
  now: number;
  onShow: (job: JobView) => void;
  onRetry: (job: JobView) => void;
  onCancel: (job: JobView) => void;
}

function Rows({ jobs, now, onShow, onRetry, onCancel }: RowsProps) {
  return (
    <div class="card table">
      <table>
        <thead>
          <tr>
            <th scope="col">{t("jobs.job")}</th>
            <th scope="col">{t("admin.state")}</th>
            <th scope="col" class="wide-only">
              {t("jobs.progress")}
            </th>
            <th scope="col" class="number wide-only">
              {t("jobs.attempts")}
            </th>
            <th scope="col" class="number wide-only">
              {t("jobs.enqueued")}
            </th>
            <th scope="col" />
          </tr>
        </thead>
        <tbody>
          {jobs.map((job) => (
            <tr key={job.id} data-job={job.id} data-state={job.state}>
              <th scope="row">
                <button type="button" class="button quiet" aria-label={t("jobs.details", { id: job.id })} onClick={() => onShow(job)}>
                  {job.name} <span class="quiet">{job.id.slice(0, 12)}</span>
                </button>
              </th>
              <td>
                {t(NAMES[job.state])}
                {job.failed_reason && <span class="quiet small"> {job.failed_reason.slice(0, 120)}</span>}
              </td>
              <td class="wide-only">{typeof job.progress === "number" && <Bar percent={job.progress} label={t("jobs.progress")} />}</td>
              <td class="number wide-only">{t("jobs.of", { now: job.attempts_made, all: job.attempts })}</td>
              <td class="number wide-only">{ago(job.enqueued_at, now, language.value, t("jobs.just_now"))}</td>
              <td class="number">
                {ENDED.includes(job.state) ? (
                  <button type="button" class="button" onClick={() => onRetry(job)}>
                    {t("jobs.retry")}
                  </button>
                ) : (
                  <button type="button" class="button" onClick={() => onCancel(job)}>
                    {t("jobs.cancel")}
                  </button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Pages({ visit, list }: { visit: AdminVisit; list: JobList }) {
  const lang = language.value;
  const last = list.first + list.jobs.length;
  if (list.total <= list.jobs.length && list.first === 0) return null;
  const numbers = { first: whole(list.first + 1, lang), last: whole(last, lang), all: whole(list.total, lang) };
  return (
    <div class="row">
      <button type="button" class="button quiet" disabled={list.first === 0} onClick={() => visit.turnPage(-1)}>
        {t("jobs.before")}
      </button>
      <span class="quiet numbers">{t("jobs.shown", numbers)}</span>
      <button type="button" class="button quiet" disabled={last >= list.total} onClick={() => visit.turnPage(1)}>
        {t("jobs.more")}
      </button>
    </div>
  );
}

function Details({ detail, onClose }: { detail: JobDetail; onClose: () => void }) {
  const { job, data, result, result_bytes: size, traceback, children } = detail;
  const large = result === null && size > 4;
  return (
    <Dialog label={job.id} kind="job-details" onClose={onClose}>
      <h2>
        {job.queue} / {job.id}
      </h2>
      <p>
        {t(NAMES[job.state])} · {t("jobs.of", { now: job.attempts_made, all: job.attempts })}
        {job.worker && <span class="quiet"> · {job.worker}</span>}
      </p>
      {job.failed_reason && <Part name={t("jobs.reason")} text={job.failed_reason} />}
      {traceback && <Part name={t("jobs.traceback")} text={traceback} />}
      <Part name={t("jobs.data")} text={JSON.stringify(data, null, 2)} />
      {large && <Part name={t("jobs.result")} text={t("jobs.result_size", { size: bytes(size) })} />}
      {result !== null && <Part name={t("jobs.result")} text={JSON.stringify(result, null, 2)} />}
      {children.length > 0 && <Part name={t("jobs.parts")} text={children.map(partLine).join("\n")} />}
      <div class="actions">
        <button type="button" class="button primary" onClick={onClose}>
          {t("jobs.close")}
        </button>
      </div>
    </Dialog>
  );
}

function Part({ name, text }: { name: string; text: string }) {
  return (
    <section>
      <h3>{name}</h3>
      <pre class="job-text" tabIndex={0}>
        {text}
      </pre>
    </section>
  );
}

function partLine({ id, state, failed_reason: reason }: JobView): string {
  return [id, t(NAMES[state]), reason].filter(Boolean).join(" · ");
}

function CancelDialog({ job, onClose, onCancel }: { job: JobView; onClose: () => void; onCancel: () => void }) {
  const title = t("jobs.cancel_title", { id: job.id });
  return (
    <Dialog label={title} onClose={onClose}>
      <h2>{title}</h2>
      <p>{t("jobs.cancel_text")}</p>
      <div class="actions">
        <button type="button" class="button" onClick={onClose}>
          {t("jobs.keep")}
        </button>
        <button type="button" class="button danger" onClick={onCancel}>
          {t("jobs.cancel_yes")}
        </button>
      </div>
    </Dialog>
  );
}
