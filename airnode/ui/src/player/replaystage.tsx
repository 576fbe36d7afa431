import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { clockFormat } from "../lib/format.ts";
import { useStore } from "../lib/hooks.ts";
import type { LiveRoom } from "../live/room.ts";
import { Icon } from "../parts/icons.tsx";
import { FullscreenButton, Volume } from "./controls.tsx";
import { toggleFullscreen } from "./fullscreen.ts";
import { usePlayerKeys } from "./keys.ts";
import { Replay } from "./replay.ts";
import { roomBase } from "./retoken.ts";
import { useWake } from "./stage.tsx";

const RATES = [0.75, 1, 1.25, 1.5, 2];
const SKIP_S = 10;

interface ReplayStageProps {
  room: LiveRoom;
  /** The recording's playlist, relative to the room's base. */
  relative: string;
  /** Where to begin, in seconds; negative: before the end. */
  fromS: number;
  /** The class goes on meanwhile. */
  live: boolean;
  /** It is the class that goes on: what is seen is not over yet. */
  growing: boolean;
  onClose: () => void;
}

/** A recording with what one needs to move about in it. */
export function ReplayStage({ room, relative, fromS, live, growing, onClose }: ReplayStageProps) {
  const container = useRef<HTMLDivElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const replay = useReplay(room, video, relative, fromS);
  const { awake, wake } = useWake();
  const woken = useRef(false);
  usePlayerKeys(
    {
      pause: () => replay?.toggle(),
      mute: () => replay?.setMuted(!replay.video.muted),
      fullscreen: () => container.current && replay && toggleFullscreen(container.current, replay.video),
      skip: (byS) => replay?.skip(byS),
      any: wake,
    },
    replay !== null,
  );
  // A finger has to see the controls first; only the next tap pauses.
  const onPress = ({ pointerType }: PointerEvent) => void (woken.current = pointerType === "touch" && !awake);
  const onClick = () => void (woken.current || replay?.toggle());
  return (
    <div
      ref={container}
      class={`stage ${awake ? "awake" : "asleep"}`}
      data-replay={growing ? "dvr" : "vod"}
      onPointerMove={wake}
      onPointerDown={wake}
      onFocusCapture={wake}
      onKeyDown={wake}
    >
      <video ref={video} class="screen" playsInline disableRemotePlayback aria-label={t("replay.video")} onPointerDown={onPress} onClick={onClick} />
      {replay && (
        <>
          <State replay={replay} room={room}>
            <Leave live={live} onClose={onClose} />
          </State>
          <Corner replay={replay} live={live} onClose={onClose} />
          <ReplayControls replay={replay} container={container} growing={growing} />
        </>
      )}
    </div>
  );
}

/** A replay for as long as the same recording is looked at; it follows the room to other nodes and tokens. */
function useReplay(room: LiveRoom, video: { current: HTMLVideoElement | null }, relative: string, fromS: number): Replay | null {
  const [replay, setReplay] = useState<Replay | null>(null);
  useEffect(() => {
    const { grant } = room.view.value;
    if (!video.current || !grant) return;
    const made = new Replay(video.current, roomBase(grant), relative, { trouble: (refused) => void room.doubt(refused) });
    const unsubscribe = room.view.subscribe(() => {
      const now = room.view.value.grant;
      if (now) made.rebase(roomBase(now));
    });
    setReplay(made);
    void made.start(fromS);
    return () => {
      unsubscribe();
      made.destroy();
    };
  }, [room, relative, fromS]);
  return replay;
}

function Leave({ live, onClose, corner = false }: { live: boolean; onClose: () => void; corner?: boolean }) {
  const label = t(live ? "replay.to_live" : "replay.close");
  return (
    <button type="button" class={corner ? "leave-replay" : "button on-dark"} onClick={onClose}>
      {live ? <span class="dot" /> : <Icon name="close" size={18} />}
      {label}
    </button>
  );
}

/** The way out over a recording that plays; a curtain has its own. */
function Corner({ replay, live, onClose }: { replay: Replay; live: boolean; onClose: () => void }) {
  const { ended, failure } = useStore(replay.view);
  return ended || failure ? null : <Leave live={live} onClose={onClose} corner />;
}

function State({ replay, room, children }: { replay: Replay; room: LiveRoom; children: ComponentChildren }) {
  const { ended, failure, waiting } = useStore(replay.view);
  const { trouble } = useStore(room.view);
  if (failure) {
    return (
      <div class="curtain">
        <h2>{t(failure === "missing" ? "replay.missing" : "replay.broken")}</h2>
        {children}
      </div>
    );
  }
  if (ended) {
    return (
      <div class="curtain">
        <h2>{t("replay.ended")}</h2>
        <button type="button" class="button on-dark" onClick={() => (replay.seek(0), replay.toggle())}>
          <Icon name="rewind" size={18} />
          {t("replay.again")}
        </button>
        {children}
      </div>
    );
  }
  if (!waiting) return null;
  return (
    <div class="curtain light late" role="status">
      <span class="spinner" aria-hidden="true" />
      <p>{t(trouble ? "phase.lost_now" : "replay.loading")}</p>
    </div>
  );
}

function ReplayControls({ replay, container, growing }: { replay: Replay; container: { current: HTMLElement | null }; growing: boolean }) {
  const { paused } = useStore(replay.view);
  return (
    <div class="controls replay-controls">
      <SeekBar replay={replay} />
      <div class="controls-row">
        <button type="button" class="control" aria-label={t(paused ? "player.play" : "player.pause")} onClick={() => replay.toggle()}>
          <Icon name={paused ? "play" : "pause"} size={24} />
        </button>
        <button type="button" class="control leap" data-seconds={SKIP_S} aria-label={t("replay.back")} onClick={() => replay.skip(-SKIP_S)}>
          <Icon name="rewind" size={28} />
        </button>
        <button type="button" class="control leap" data-seconds={SKIP_S} aria-label={t("replay.forward")} onClick={() => replay.skip(SKIP_S)}>
          <Icon name="forward" size={28} />
        </button>
        <Times replay={replay} growing={growing} />
        <span class="grow" />
        <Volume of={replay} />
        <Rate replay={replay} />
        <FullscreenButton video={replay.video} container={container} />
      </div>
    </div>
  );
}

function SeekBar({ replay }: { replay: Replay }) {
  const { positionS, durationS } = useStore(replay.view);
  const share = durationS > 0 ? (100 * positionS) / durationS : 0;
  return (
    <input
      type="range"
      class="seek"
      min="0"
      max={Math.max(durationS, 1)}
      step="0.1"
      value={positionS}
      ref={(bar) => void bar?.style.setProperty("--done", `${share}%`)}
      aria-label={t("replay.seek")}
      aria-valuetext={`${clockFormat(positionS)} / ${clockFormat(durationS)}`}
      onInput={(event) => replay.seek(Number(event.currentTarget.value))}
    />
  );
}

function Times({ replay, growing }: { replay: Replay; growing: boolean }) {
  const { positionS, durationS } = useStore(replay.view);
  return (
    <span class="times numbers">
      {clockFormat(positionS)} / {clockFormat(durationS)}
      <span class="times-kind">{t(growing ? "replay.badge_live" : "replay.badge")}</span>
    </span>
  );
}

function Rate({ replay }: { replay: Replay }) {
  const { rate } = useStore(replay.view);
  return (
    <select class="control quality" aria-label={t("replay.rate")} value={rate} onChange={(event) => replay.setRate(Number(event.currentTarget.value))}>
      {RATES.map((each) => (
        <option key={each} value={each}>
          {each}×
        </option>
      ))}
    </select>
  );
}
