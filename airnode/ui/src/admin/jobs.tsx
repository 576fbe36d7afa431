import { useMemo } from "preact/hooks";
import { language, t } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import { Spinner } from "../live/curtain.tsx";
import { Chart } from "./chart.tsx";
import { rate, shortTime, whole } from "./figures.ts";
import { JobTable } from "./jobtable.tsx";
import { perMinute } from "./throughput.ts";
import type { JobWorkerView, QueueView } from "../api/schema.ts";
import type { AdminVisit, JobsShot } from "./visit.ts";

/** The job queues, their workers, and the jobs of one queue. */
export function Jobs({ visit, now }: { visit: AdminVisit; now: number }) {
  const { jobs } = useStore(visit.view);
  return (
    <>
      <div class="board-head">
        <h2>{t("jobs.title")}</h2>
      </div>
      {!jobs && <Spinner />}
      {jobs && <Board visit={visit} shot={jobs} now={now} />}
    </>
  );
}

function Board({ visit, shot, now }: { visit: AdminVisit; shot: JobsShot; now: number }) {
  const { queues, workers } = shot.queues;
  if (queues.length === 0 && workers.length === 0)
    return (
      <section class="card start">
        <h3>{t("jobs.empty")}</h3>
        <p class="quiet">{t("jobs.empty_text")}</p>
      </section>
    );
  return (
    <>
      <div class="charts">
        <Throughput queues={queues} now={now} />
      </div>
      <Queues queues={queues} chosen={shot.choice.queue} onChoose={(queue) => visit.choose({ queue, first: 0 })} />
      <Workers workers={workers} now={now} />
      {shot.list && <JobTable visit={visit} list={shot.list} choice={shot.choice} now={now} />}
    </>
  );
}

function Throughput({ queues, now }: { queues: QueueView[]; now: number }) {
  const drawn = useMemo(() => perMinute(queues, now), [queues]);
  return (
    <Chart
      title={t("jobs.throughput")}
      unit={t("jobs.unit")}
      at={drawn.at}
      lines={[
        { name: t("jobs.completed"), colour: "--ok", values: drawn.completed },
        { name: t("jobs.failed"), colour: "--warn", dashed: true, values: drawn.failed },
      ]}
      format={(value) => t("unit.per_min", { value: rate(value, language.value) })}
    />
  );
}

function Queues({ queues, chosen, onChoose }: { queues: QueueView[]; chosen: string; onChoose: (queue: string) => void }) {
  const lang = language.value;
  const head = [t("jobs.waiting"), t("jobs.active"), t("jobs.delayed"), t("jobs.failed"), t("jobs.last_hour"), t("jobs.workers")];
  return (
    <section class="card table" aria-label={t("jobs.queue")}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("jobs.queue")}</th>
            {head.map((name) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {queues.map((queue) => (
            <tr key={queue.name} data-queue={queue.name}>
              <th scope="row">
                <button type="button" class="button quiet" aria-pressed={queue.name === chosen} onClick={() => onChoose(queue.name)}>
                  {queue.name}
                </button>
              </th>
              <td class="number">{whole(queue.waiting, lang)}</td>
              <td class="number">{whole(queue.active, lang)}</td>
              <td class="number">{whole(queue.delayed + queue.waiting_children, lang)}</td>
              <td class="number">{whole(queue.failed, lang)}</td>
              <td class="number">{whole(sum(queue.completed_per_minute.slice(0, 60)), lang)}</td>
              <td class="number">
                {queue.workers === 0 && queue.waiting > 0 ? <span class="warn-text">{t("jobs.no_worker")}</span> : whole(queue.workers, lang)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Workers({ workers, now }: { workers: JobWorkerView[]; now: number }) {
  const lang = language.value;
  if (workers.length === 0) return <p class="card quiet">{t("jobs.no_workers")}</p>;
  return (
    <section class="card table" aria-label={t("jobs.workers")}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("jobs.worker")}</th>
            <th scope="col">{t("jobs.queue")}</th>
            <th scope="col" class="number">
              {t("jobs.load")}
            </th>
            <th scope="col" class="number wide-only">
              {t("jobs.since")}
            </th>
          </tr>
        </thead>
        <tbody>
          {workers.map((worker) => (
            <tr key={worker.id} data-worker={worker.id}>
              <th scope="row">{worker.name}</th>
              <td>{worker.queues.join(", ")}</td>
              <td class="number">
                {t("jobs.of", { now: whole(worker.active, lang), all: whole(worker.concurrency, lang) })}
                {worker.draining && <span class="warn-text"> {t("jobs.draining")}</span>}
              </td>
              <td class="number wide-only">{shortTime(Math.max(0, now - worker.started_at), lang)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function sum(counts: number[]): number {
  return counts.reduce((total, each) => total + each, 0);
}
