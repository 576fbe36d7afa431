import { useMemo } from "preact/hooks";
import { language, t } from "../i18n/index.ts";
import { CopyButton } from "../parts/copy.tsx";
import { topicName } from "./topics.ts";
import { CacheCard, CoursesCard, LettersCard } from "./cards.tsx";
import { Chart } from "./chart.tsx";
import { percent, rate, whole, won } from "./figures.ts";
import { lines, type Lines } from "./series.ts";
import type { PipelineStatus, TopicView } from "../api/schema.ts";

const COMMAND = "airnode --role standalone --demo-pipeline";
const ROLES: readonly string[] = ["producer", "consumer"];

/** The pipeline from the producers to the database, with the last hour. */
export function Pipeline({ status }: { status: PipelineStatus }) {
  const { running, missing, topics, dead_letters, orders } = status;
  const never = !running && dead_letters.total === 0 && orders.top_courses.length === 0 && topics.every(({ produced, landed }) => produced + landed === 0);
  const idle = !running && !missing.includes("redis");
  return (
    <>
      <div class="board-head">
        <h2>{t("admin.pipeline")}</h2>
        {running && <Members status={status} />}
      </div>
      {missing.map((store) => (
        <p key={store} class="card quiet" role="status">
          {t(store === "redis" ? "pipeline.no_redis" : "pipeline.no_postgres")}
        </p>
      ))}
      {idle && <Start never={never} />}
      {!(idle && never) && missing.length < 2 && <Figures status={status} />}
    </>
  );
}

function Members({ status }: { status: PipelineStatus }) {
  const count = (role: string) => status.members.filter((each) => each.role === role).length;
  return (
    <p class="quiet numbers">{ROLES.map((role) => `${role} ${whole(count(role), language.value)}`).join(" · ")}</p>
  );
}

/** How to start a pipeline that does not run. */
function Start({ never }: { never: boolean }) {
  return (
    <section class="card start">
      <h3>{t(never ? "pipeline.empty" : "pipeline.stopped")}</h3>
      <p class="quiet">{t(never ? "pipeline.empty_text" : "pipeline.stopped_text")}</p>
      <div class="row">
        <code class="value">{COMMAND}</code>
        <CopyButton text={COMMAND} />
      </div>
      <p class="quiet">{t("pipeline.by_hand", { roles: "cache-worker, producer, consumer" })}</p>
    </section>
  );
}

/** Figures of a store that is unreachable are left out: a zero would be wrong. */
function Figures({ status }: { status: PipelineStatus }) {
  const drawn = useMemo(() => lines(status.series), [status]);
  const counted = !status.missing.includes("redis");
  return (
    <>
      <div class="charts">
        {counted && <EventCharts status={status} drawn={drawn} />}
        {!status.missing.includes("postgres") && <OrdersChart status={status} drawn={drawn} />}
        {counted && (
          <Chart
            title={t("chart.hits")}
            unit="%"
            at={drawn.at}
            lines={[{ name: "", colour: "--ok", values: drawn.hitPercent }]}
            format={percent}
            full={100}
          />
        )}
      </div>
      {counted && <Topics topics={status.topics} />}
      <div class="cards">
        <CacheCard status={status} />
        <LettersCard status={status} />
        <CoursesCard courses={status.orders.top_courses} />
      </div>
    </>
  );
}

interface Drawn {
  status: PipelineStatus;
  drawn: Lines;
}

function EventCharts({ status: { topics }, drawn }: Drawn) {
  const lang = language.value;
  const sum = (of: (topic: TopicView) => number) => topics.reduce((total, topic) => total + of(topic), 0);
  const lag = topics.some((topic) => topic.lag !== null) ? sum((topic) => topic.lag ?? 0) : null;
  return (
    <>
      <Chart
        title={t("chart.events")}
        unit={t("unit.events_s")}
        at={drawn.at}
        lines={[
          { name: t("pipeline.landed"), colour: "--ok", values: drawn.landed, now: sum((topic) => topic.landed_per_s) },
          { name: t("pipeline.produced"), colour: "--accent", dashed: true, values: drawn.produced, now: sum((topic) => topic.produced_per_s) },
        ]}
        format={(value) => t("unit.per_s", { value: rate(value, lang) })}
      />
      <Chart
        title={t("chart.lag")}
        unit={t("unit.events")}
        at={drawn.at}
        lines={[{ name: "", colour: "--warn", values: drawn.lag, now: lag }]}
        format={(value) => t("unit.waiting", { value: whole(value, lang) })}
      />
    </>
  );
}

function OrdersChart({ status: { orders }, drawn }: Drawn) {
  const lang = language.value;
  return (
    <Chart
      title={t("chart.orders")}
      unit={t("unit.orders_min")}
      at={drawn.at}
      lines={[{ name: "", colour: "--accent", values: drawn.orders }]}
      format={(value) => t("unit.per_min", { value: whole(value, lang) })}
    >
      {t("chart.last_hour", { count: whole(orders.last_hour, lang), won: won(orders.revenue_last_hour_krw, lang) })}
    </Chart>
  );
}

function Topics({ topics }: { topics: TopicView[] }) {
  const lang = language.value;
  const cell = (total: number, perS: number) => (
    <td class="number">
      {whole(total, lang)}
      <span class="quiet">{t("unit.per_s", { value: rate(perS, lang) })}</span>
    </td>
  );
  return (
    <section class="card table" aria-label={t("pipeline.topics")}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("pipeline.topics")}</th>
            <th scope="col" class="number">
              {t("pipeline.produced")}
            </th>
            <th scope="col" class="number">
              {t("pipeline.landed")}
            </th>
            <th scope="col" class="number">
              {t("pipeline.lag")}
            </th>
            <th scope="col" class="number">
              {t("pipeline.dead")}
            </th>
          </tr>
        </thead>
        <tbody>
          {topics.map((each) => (
            <tr key={each.topic} data-topic={each.topic}>
              <th scope="row">{topicName(each.topic)}</th>
              {cell(each.produced, each.produced_per_s)}
              {cell(each.landed, each.landed_per_s)}
              <td class="number">{each.lag === null ? "–" : whole(each.lag, lang)}</td>
              <td class="number">{whole(each.dead, lang)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
