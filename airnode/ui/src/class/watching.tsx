import { t } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import { Spinner } from "../live/curtain.tsx";
import { Icon } from "../parts/icons.tsx";
import { ReplayStage } from "../player/replaystage.tsx";
import type { ClassVisit } from "./visit.ts";

const LOOK_BACK_S = 30;

/** A recording that is shown instead of the class. */
export function Watching({ visit, recording }: { visit: ClassVisit; recording: string }) {
  const { grant, status } = useStore(visit.room.view);
  const { recordings } = useStore(visit.shelf.view);
  const { fromS } = useStore(visit.view);
  const found = visit.shelf.one(recording);
  const onAir = status?.state === "live" || status?.state === "reconnecting";
  if (grant && found?.available) {
    return (
      <ReplayStage
        key={recording}
        room={visit.room}
        relative={found.playlist_url}
        fromS={fromS}
        live={onAir}
        growing={onAir && found.status === "recording"}
        onClose={() => visit.toClass()}
      />
    );
  }
  return (
    <div class="stage">
      <div class="curtain unsupported">
        {recordings === null ? (
          <>
            <Spinner />
            <p>{t("replay.loading")}</p>
          </>
        ) : (
          <>
            <h2>{t(found ? "replay.away" : "replay.missing")}</h2>
            {found && <p>{t("replay.away_next")}</p>}
            <button type="button" class="button on-dark" onClick={() => visit.toClass()}>
              {t(onAir ? "replay.to_live" : "replay.close")}
            </button>
          </>
        )}
      </div>
    </div>
  );
}

/** A button that goes back half a minute while the class is recorded. */
export function LookBack({ visit }: { visit: ClassVisit }) {
  const { status } = useStore(visit.room.view);
  useStore(visit.shelf.view);
  const { running } = visit.shelf;
  if (!status?.recording) return null;
  return (
    <>
      <span class="badge rec" title={t("recordings.mark_title")}>
        <span class="dot" />
        {t("recordings.mark")}
      </span>
      {running && (
        <button type="button" class="control leap" data-seconds={LOOK_BACK_S} aria-label={t("replay.rewind")} title={t("replay.rewind")} onClick={() => visit.watch(running.recording_id, -LOOK_BACK_S)}>
          <Icon name="rewind" size={28} />
        </button>
      )}
    </>
  );
}

/** Shows the newest recording before and after the class, if there is one. */
export function Latest({ visit }: { visit: ClassVisit }) {
  const { recordings } = useStore(visit.shelf.view);
  const latest = recordings?.find(({ available, status }) => available && status !== "recording");
  if (!latest) return null;
  return (
    <button type="button" class="button on-dark" onClick={() => visit.watch(latest.recording_id)}>
      <Icon name="play" size={18} />
      {t("recordings.latest")}
    </button>
  );
}
