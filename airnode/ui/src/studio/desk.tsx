import type { ComponentChildren } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { ClassRecord } from "../classrecord/card.tsx";
import { recordOf } from "../classrecord/source.ts";
import { explain } from "../i18n/problem.ts";
import { t } from "../i18n/index.ts";
import { useMedia, useStore } from "../lib/hooks.ts";
import { Curtain, Spinner, useReconnectLeft } from "../live/curtain.tsx";
import type { LiveRoom } from "../live/room.ts";
import { useStats } from "../live/stats.ts";
import { Stage } from "../player/stage.tsx";
import { isPublishing } from "../publish/view.ts";
import { GoLiveWays } from "./golive.tsx";
import { GoLiveBar } from "./golive_live.tsx";
import { Refusal } from "./golive_notes.tsx";
import { EndClass } from "./end.tsx";
import { TeacherRoom } from "./room.tsx";
import { Publish } from "./publish.tsx";
import { Recorder } from "./recorder.tsx";
import { Settings } from "./settings.tsx";
import { Share } from "./share.tsx";
import { HealthStrip } from "./strip.tsx";
import type { StudioVisit } from "./visit.ts";

/** Below these sizes there is no room under the preview; what stands there is a tab of the room. */
const SMALL = "(max-width: 960px), (max-height: 480px)";

/** The teacher's main view: before the class how to go live, during it the preview and the stream's health. */
export function Desk({ visit }: { visit: StudioVisit }) {
  const { room } = visit;
  const { grant, status } = useStore(room.view);
  const stats = useStats(room);
  const { phase: golivePhase } = useStore(visit.golive.view);
  const publishing = isPublishing(golivePhase);
  const onAir = publishing || status?.state === "live" || status?.state === "reconnecting";
  const small = useMedia(SMALL);
  useEffect(() => {
    // On a phone, what is needed before the class is a tab: it is the first that a teacher sees.
    if (grant && small && !onAir && visit.chat.lastTab === null) visit.chat.look("info", true);
  }, [grant?.room]);
  if (!grant) return <Opening visit={visit} />;
  const below = (
    <>
      {small && onAir && <HealthStrip room={room} stats={stats} />}
      <Ways visit={visit} onAir={onAir} publishing={publishing} />
      <Cards visit={visit} live={status?.state === "live"} small={small} />
    </>
  );
  return (
    <div class={`studio ${publishing ? "publishing" : ""}`}>
      <div class={`desk ${onAir ? "on-air" : ""} ${publishing ? "publishing" : ""}`}>
        <section class="preview" aria-label={t("studio.title")}>
          {onAir && !publishing && (
            <div class="preview-head">
              <EndClass visit={visit} end={() => visit.endClass()} />
            </div>
          )}
          <Stage room={room} stats={stats} silent>
            <TeacherCurtain visit={visit} />
          </Stage>
          <GoLiveBar visit={visit} />
          {onAir && <Refusal golive={visit.golive} />}
          {!small && onAir && <HealthStrip room={room} stats={stats} />}
        </section>
        {!small && below}
      </div>
      <TeacherRoom visit={visit} info={small ? below : undefined} />
    </div>
  );
}

function Ways({ visit, onAir, publishing }: { visit: StudioVisit; onAir: boolean; publishing: boolean }) {
  const { status } = useStore(visit.room.view);
  if (publishing) return null;
  if (status?.state === "live") {
    return (
      <Fold title={t("publish.settings")}>
        <Publish visit={visit} live />
      </Fold>
    );
  }
  return (
    <GoLiveWays visit={visit}>
      <p class="quiet">{t("publish.lead")}</p>
      <Publish visit={visit} live={onAir} />
    </GoLiveWays>
  );
}

function Cards({ visit, live, small }: { visit: StudioVisit; live: boolean; small: boolean }) {
  const room = visit.room.view.value.grant?.room ?? "";
  const source = useMemo(() => recordOf(room, () => visit.room.view.value.grant), [visit, room]);
  return (
    <div class="desk-cards">
      <Share visit={visit} />
      <Recorder visit={visit} live={live} />
      <ClassRecord key={room} source={source} live={live} small={small} />
      <Settings visit={visit} />
      <button type="button" class="button plain sign-out" onClick={() => visit.signOut()}>
        {t("studio.sign_out")}
      </button>
    </div>
  );
}

export function Opening({ visit }: { visit: StudioVisit }) {
  const { trouble } = useStore(visit.room.view);
  return (
    <div class="centre">
      <Spinner />
      <p>{t("phase.connecting")}</p>
      {trouble && <p class="hint error">{explain(trouble)}</p>}
      <button type="button" class="button" onClick={() => visit.signOut()}>
        {t("studio.sign_out")}
      </button>
    </div>
  );
}

/** Covers the preview: a teacher reads what to do where students read what to wait for. */
function TeacherCurtain({ visit }: { visit: StudioVisit }) {
  const { room, golive } = visit;
  const { phase } = useStore(room.view);
  const { phase: golivePhase } = useStore(golive.view);
  if (isPublishing(golivePhase) && phase !== "live") return <Connecting lost={golivePhase === "reconnecting"} />;
  if (phase === "waiting" || phase === "ended") return <Standby ended={phase === "ended"} />;
  return phase === "reconnecting" ? <Stopped room={room} /> : <Curtain room={room} />;
}

/** This browser publishes; the picture comes in a moment. */
function Connecting({ lost }: { lost: boolean }) {
  return (
    <div class="curtain waiting">
      <Spinner />
      <p>{t(lost ? "golive.reconnecting" : "golive.connecting")}</p>
    </div>
  );
}

function Stopped({ room }: { room: LiveRoom }) {
  const left = useReconnectLeft(room);
  return (
    <div class="curtain reconnecting">
      <h2>{t("publish.stopped")}</h2>
      <p class="countdown">{left === null ? t("publish.stopped_next") : t("publish.stopped_left", { left })}</p>
    </div>
  );
}

function Standby({ ended }: { ended: boolean }) {
  return (
    <div class="curtain waiting">
      <span class="pulse" aria-hidden="true" />
      <p>{t(ended ? "publish.ended" : "publish.waiting")}</p>
    </div>
  );
}

function Fold({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <details class="card fold">
      <summary>{title}</summary>
      {children}
    </details>
  );
}
