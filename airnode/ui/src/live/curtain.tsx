import type { ComponentChildren } from "preact";
import { explain } from "../i18n/problem.ts";
import { t } from "../i18n/index.ts";
import { clockFormat } from "../lib/format.ts";
import { useNow, useStore } from "../lib/hooks.ts";
import type { LiveRoom } from "./room.ts";

const MOVED_SHOWN_MS = 6_000;

/** Covers the picture while it does not run: what happened, and what happens next. */
export function Curtain({ room, children }: { room: LiveRoom; children?: ComponentChildren }) {
  const { phase, firstFrameMs } = useStore(room.view);
  if (phase === "live" || phase === "idle") return null;
  return (
    <div class={`curtain ${phase}`}>
      {phase === "connecting" && (
        <>
          <Spinner />
          <p>{t(firstFrameMs === null ? "phase.connecting" : "phase.resuming")}</p>
        </>
      )}
      {phase === "waiting" && (
        <>
          <span class="pulse" aria-hidden="true" />
          <h2>{t("phase.waiting")}</h2>
          <p>{t("phase.waiting_next")}</p>
          {children}
        </>
      )}
      {phase === "reconnecting" && <Reconnecting room={room} />}
      {phase === "ended" && (
        <>
          <h2>{t("phase.ended")}</h2>
          <p>{t("phase.ended_next")}</p>
          {children}
        </>
      )}
      {phase === "moving" && (
        <>
          <Spinner />
          <p>{t("phase.moving")}</p>
        </>
      )}
      {phase === "lost" && <Lost room={room} />}
      {phase === "unsupported" && (
        <>
          <h2>{t("phase.unsupported")}</h2>
          <p>{t("phase.unsupported_next")}</p>
        </>
      )}
    </div>
  );
}

/** A short notice at the edge of a picture that goes on. */
export function Notice({ room }: { room: LiveRoom }) {
  const { away, movedAtMs, phase } = useStore(room.view);
  const now = useNow(1_000, movedAtMs !== null);
  if (phase !== "live") return null;
  if (away) return <Chip key="away" kind="late" text={t("notice.away")} />;
  if (movedAtMs !== null && now - movedAtMs < MOVED_SHOWN_MS) return <Chip key="moved" kind="" text={t("notice.moved")} />;
  return null;
}

function Chip({ kind, text }: { kind: string; text: string }) {
  return (
    <p class={`notice ${kind}`} role="status">
      {text}
    </p>
  );
}

export function Spinner() {
  return <span class="spinner" aria-hidden="true" />;
}

/** Return the time until the class ends if the teacher does not come back, `0:59`; null: it is not known, or over. */
export function useReconnectLeft(room: LiveRoom): string | null {
  const { status } = useStore(room.view);
  const now = useNow(500);
  const deadline = status?.reconnect_deadline ?? null;
  if (deadline === null) return null;
  const leftS = (room.clock.toLocalMs(deadline * 1000) - now) / 1000;
  return leftS > 0 ? clockFormat(Math.ceil(leftS)) : null;
}

function Reconnecting({ room }: { room: LiveRoom }) {
  const left = useReconnectLeft(room);
  return (
    <>
      <h2>{t("phase.reconnecting")}</h2>
      <p>{t("phase.reconnecting_next")}</p>
      {left !== null && (
        <p class="countdown" aria-hidden="true">
          {t("phase.reconnecting_left", { left })}
        </p>
      )}
    </>
  );
}

function Lost({ room }: { room: LiveRoom }) {
  const { trouble, retryAtMs } = useStore(room.view);
  const now = useNow(250);
  const left = retryAtMs === null ? 0 : Math.ceil((retryAtMs - now) / 1000);
  return (
    <>
      <h2>{t(trouble?.status === 503 || trouble?.status === 429 ? "phase.busy" : "phase.lost")}</h2>
      {trouble && <p>{explain(trouble)}</p>}
      <p aria-hidden="true">{left > 0 ? t("phase.lost_next", { left }) : t("phase.lost_now")}</p>
      {left > 2 && (
        <button type="button" class="button on-dark" onClick={() => room.retryNow()}>
          {t("phase.retry")}
        </button>
      )}
    </>
  );
}
