import type { Recording, RoomState } from "../api/types.ts";
import { language, t, type Key } from "../i18n/index.ts";
import { clockFormat, resolution, seconds, timeOfDay } from "../lib/format.ts";
import { useNow, useStore } from "../lib/hooks.ts";
import type { Stats } from "../live/stats.ts";
import { Icon } from "../parts/icons.tsx";
import { RecordingList } from "../recordings/list.tsx";
import type { ClassVisit } from "./visit.ts";

export const STATE_NAMES: Record<RoomState, Key> = {
  waiting: "class.teacher_waiting",
  live: "class.teacher_live",
  reconnecting: "class.teacher_reconnecting",
  ended: "class.teacher_ended",
};

/** Beside the picture: which class it is, what it does, and how the connection is. */
export function ClassPanel({ visit, stats }: { visit: ClassVisit; stats: Stats }) {
  const { grant, status: reported, liveSince, phase } = useStore(visit.room.view);
  // Without a connection nobody knows what the class does now.
  const status = phase === "lost" ? null : reported;
  const { recording } = useStore(visit.view);
  return (
    <aside class="panel" aria-label={t("class.about")}>
      {status && (
        <p class="panel-line">
          <span class={`pill ${status.state}`}>{t(STATE_NAMES[status.state])}</span>
          {status.recording && (
            <span class="pill recording" title={t("recordings.mark_title")}>
              <span class="dot" />
              {t("recordings.recording")}
            </span>
          )}
          <span class="with-icon">
            <Icon name="people" size={18} />
            {t("class.viewers_count", { count: status.viewers })}
          </span>
        </p>
      )}
      {status?.state === "live" && <Since visit={visit} since={liveSince ?? status.since} />}
      {grant && <Recordings visit={visit} />}
      {phase === "live" && recording === null && <Connection visit={visit} stats={stats} />}
    </aside>
  );
}

function Recordings({ visit }: { visit: ClassVisit }) {
  const { recording: chosen } = useStore(visit.view);
  const { recordings } = useStore(visit.shelf.view);
  const watch = ({ recording_id, status, available }: Recording) => {
    if (!available) return null;
    return recording_id === chosen ? (
      <span class="pill live">{t("recordings.watching")}</span>
    ) : (
      <button type="button" class="button" onClick={() => visit.watch(recording_id)}>
        <Icon name="play" size={18} />
        {t(status === "recording" ? "recordings.from_start" : "recordings.watch")}
      </button>
    );
  };
  return (
    <section class="panel-part" aria-labelledby="recordings-title">
      <h2 id="recordings-title">{t("recordings.title")}</h2>
      <RecordingList shelf={visit.shelf} chosen={chosen} first={watch} />
      {recordings && recordings.length > 0 && chosen !== null && <p class="quiet keys">{t("replay.keys")}</p>}
    </section>
  );
}

function Since({ visit, since }: { visit: ClassVisit; since: number }) {
  const elapsed = (visit.room.clock.toServerMs(useNow(1_000)) - since * 1000) / 1000;
  const time = timeOfDay(since, language.value);
  return <p class="quiet numbers">{t("class.since", { time, elapsed: clockFormat(elapsed) })}</p>;
}

function Connection({ visit, stats }: { visit: ClassVisit; stats: Stats }) {
  const { grant } = useStore(visit.room.view);
  const rows: [string, string][] = [
    [t("class.latency"), stats.latencyMs === null ? "–" : seconds(stats.latencyMs)],
    [t("class.resolution"), resolution(stats.width, stats.height)],
    [t("class.dropped"), String(stats.droppedFrames)],
    [t("class.stalls"), String(stats.stalls)],
    [t("class.server"), grant?.node_name ?? "–"],
  ];
  return (
    <section class="panel-part">
      <h2>{t("class.details")}</h2>
      <dl class="facts">
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <p class="quiet keys">{t("class.keys")}</p>
    </section>
  );
}
