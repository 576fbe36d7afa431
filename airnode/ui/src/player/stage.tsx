import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import type { LiveRoom } from "../live/room.ts";
import type { Stats } from "../live/stats.ts";
import { Icon } from "../parts/icons.tsx";
import { Controls } from "./controls.tsx";
import { toggleFullscreen } from "./fullscreen.ts";
import { usePlayerKeys } from "./keys.ts";
import type { Player } from "./player.ts";

const OVERLAY_MS = 3_000;

interface StageProps {
  room: LiveRoom;
  stats: Stats;
  /** Start without sound and leave it at that: a teacher's own preview. */
  silent?: boolean;
  /** More buttons between the controls. */
  extra?: ComponentChildren;
  /** What stands over the picture in the present state. */
  children?: ComponentChildren;
}

/** The video with what lies over it. */
export function Stage({ room, stats, silent = false, extra, children }: StageProps) {
  const container = useRef<HTMLDivElement>(null);
  const [player, setPlayer] = useState<Player | null>(null);
  const { phase, firstFrameMs } = useStore(room.view);
  const attached = useAttach(room, setPlayer);
  const { awake, wake } = useWake();
  usePlayerKeys(
    {
      pause: () => player?.togglePause(),
      mute: () => player?.setMuted(!player.video.muted),
      fullscreen: () => container.current && player && toggleFullscreen(container.current, player.video),
      any: wake,
    },
    player !== null && !silent,
  );
  return (
    <div
      ref={container}
      class={`stage ${awake ? "awake" : "asleep"}`}
      data-state={phase}
      data-latency-ms={stats.latencyMs === null ? undefined : Math.round(stats.latencyMs)}
      data-first-frame-ms={firstFrameMs ?? undefined}
      onPointerMove={wake}
      onPointerDown={wake}
      onFocusCapture={wake}
      onKeyDown={wake}
    >
      <Screen attached={attached} player={player} silent={silent} />
      {phase === "live" && player && (
        <>
          <SoundButton player={player} silent={silent} />
          {!silent && <Controls player={player} container={container} latencyMs={stats.latencyMs} extra={extra} />}
        </>
      )}
      {children}
    </div>
  );
}

interface Elements {
  video: HTMLVideoElement | null;
  still: HTMLCanvasElement | null;
}

/** Hands the elements to the room once both are there. */
function useAttach(room: LiveRoom, setPlayer: (player: Player | null) => void) {
  const elements = useRef<Elements>({ video: null, still: null });
  useEffect(() => {
    const { video, still } = elements.current;
    if (video && still) setPlayer(room.attach({ video, still }));
    return () => void room.attach(null);
  }, [room, setPlayer]);
  return elements;
}

function Screen({ attached, player, silent }: { attached: { current: Elements }; player: Player | null; silent: boolean }) {
  const setVideo = useCallback((video: HTMLVideoElement | null) => {
    attached.current.video = video;
    if (!video) return;
    // The attribute alone is not enough: Preact sets properties, and iOS looks at these before play().
    video.muted = silent;
    video.playsInline = true;
  }, []);
  const setStill = useCallback((still: HTMLCanvasElement | null) => void (attached.current.still = still), []);
  return (
    <>
      <video ref={setVideo} class="screen" playsInline disableRemotePlayback aria-label={t("player.video")} />
      <canvas ref={setStill} class="screen still" hidden={!useFrozen(player)} aria-hidden="true" />
    </>
  );
}

function useFrozen(player: Player | null): boolean {
  const [frozen, setFrozen] = useState(false);
  useEffect(() => {
    if (!player) return;
    const read = () => setFrozen(player.view.value.frozen);
    read();
    return player.view.subscribe(read);
  }, [player]);
  return frozen;
}

function SoundButton({ player, silent }: { player: Player; silent: boolean }) {
  const { soundBlocked } = useStore(player.view);
  if (!soundBlocked || silent) return null;
  return (
    <button type="button" class="sound-button" onClick={() => player.setMuted(false)}>
      <Icon name="muted" size={24} />
      {t("player.sound")}
    </button>
  );
}

/** The overlay is shown for three seconds after each input of the person. */
export function useWake() {
  const [awake, setAwake] = useState(true);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const wake = useCallback(() => {
    setAwake(true);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setAwake(false), OVERLAY_MS);
  }, []);
  useEffect(() => {
    wake();
    return () => clearTimeout(timer.current);
  }, [wake]);
  return { awake, wake };
}
