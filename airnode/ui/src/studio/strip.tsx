import { useEffect, useRef, useState } from "preact/hooks";
import type { StreamInfo } from "../api/types.ts";
import { t } from "../i18n/index.ts";
import { bitrate, resolution, seconds } from "../lib/format.ts";
import { useStore } from "../lib/hooks.ts";
import type { LiveRoom } from "../live/room.ts";
import type { Stats } from "../live/stats.ts";
import { Icon } from "../parts/icons.tsx";
import type { Advice, Grade, Metric } from "./advice.ts";
import { gradeOf, StreamHealth } from "./health.ts";

/** The figures of the stream: green, or advice on what is wrong and what to do. */
export function HealthStrip({ room, stats }: { room: LiveRoom; stats: Stats }) {
  const { status, phase } = useStore(room.view);
  const known = useAdvice(room, stats);
  // While nothing runs, an old judgement would mislead.
  const judged = phase === "live" && status?.stream != null;
  const advice = judged ? known : [];
  const stream = status?.stream ?? null;
  return (
    <div class="strip" role="group" aria-label={t("strip.title")}>
      <dl class="figures">
        <Figure name={t("strip.viewers")} value={String(status?.viewers ?? 0)} />
        {stream && figures(stream, stats).map(([metric, name, value]) => (
          <Figure key={metric} name={name} value={value} grade={judged ? gradeOf(metric, advice) : undefined} />
        ))}
      </dl>
      {judged && <Verdict advice={advice} />}
    </div>
  );
}

function figures(stream: StreamInfo, stats: Stats): [Metric, string, string][] {
  const interval = stream.key_frame_interval_s;
  return [
    ["latency", t("strip.latency"), stats.latencyMs === null ? "–" : seconds(stats.latencyMs)],
    ["bitrate", t("strip.bitrate"), bitrate(stream.bitrate_bps)],
    ["resolution", t("strip.resolution"), stream.video_codecs ? resolution(stream.width, stream.height) : t("strip.none")],
    ["frame_rate", t("strip.frame_rate"), t("strip.fps", { value: Math.round(stream.frame_rate) })],
    ["key_frames", t("strip.key_frames"), interval === null ? "–" : t("strip.every", { value: interval.toFixed(1) })],
  ];
}

function Figure({ name, value, grade }: { name: string; value: string; grade?: Grade | undefined }) {
  return (
    <div class={`figure ${grade ?? ""}`}>
      <dt>{name}</dt>
      <dd>
        {grade && grade !== "ok" && <Icon name={grade === "bad" ? "alert" : "warn"} size={16} />}
        {value}
      </dd>
    </div>
  );
}

function Verdict({ advice }: { advice: Advice[] }) {
  return (
    <ul class="verdict" role="status">
      {advice.length === 0 && (
        <li class="ok">
          <Icon name="check" size={18} />
          {t("strip.good")}
        </li>
      )}
      {advice.map(({ key, params, grade }) => (
        <li key={key} class={grade}>
          <Icon name={grade === "bad" ? "alert" : "warn"} size={18} />
          {t(key, params)}
        </li>
      ))}
    </ul>
  );
}

/** Return the advice, renewed with every status from the server. */
function useAdvice(room: LiveRoom, stats: Stats): Advice[] {
  const health = useRef(new StreamHealth());
  const latency = useRef<number | null>(null);
  latency.current = stats.latencyMs;
  const { status } = useStore(room.view);
  const [advice, setAdvice] = useState<Advice[]>([]);
  useEffect(() => {
    if (status?.stream && status.state === "live") setAdvice(health.current.assess(Date.now(), status.stream, latency.current));
  }, [status]);
  return advice;
}
