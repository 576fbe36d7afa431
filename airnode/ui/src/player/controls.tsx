import type { ComponentChildren, RefObject } from "preact";
import { t } from "../i18n/index.ts";
import { seconds } from "../lib/format.ts";
import { useStore } from "../lib/hooks.ts";
import { Icon } from "../parts/icons.tsx";
import { canFullscreen, toggleFullscreen, useFullscreen } from "./fullscreen.ts";
import type { Store } from "../lib/store.ts";
import type { Player } from "./player.ts";
import type { PlayerView } from "./playerview.ts";
import type { Replay, ReplayView } from "./replay.ts";

/** Behind the live edge by more than this, the badge offers the way back. */
const BEHIND_MS = 6_000;

interface ControlsProps {
  player: Player;
  container: RefObject<HTMLElement | null>;
  latencyMs: number | null;
  extra?: ComponentChildren;
}

export function Controls({ player, container, latencyMs, extra }: ControlsProps) {
  const view = useStore(player.view);
  return (
    <div class="controls">
      <button type="button" class="control" aria-label={t(view.paused ? "player.play" : "player.pause")} onClick={() => player.togglePause()}>
        <Icon name={view.paused ? "play" : "pause"} size={24} />
      </button>
      <LiveBadge player={player} latencyMs={latencyMs} paused={view.paused} />
      {extra}
      <span class="grow" />
      <Volume of={player} />
      <Quality player={player} />
      <FullscreenButton video={player.video} container={container} />
    </div>
  );
}

function LiveBadge({ player, latencyMs, paused }: { player: Player; latencyMs: number | null; paused: boolean }) {
  const behind = paused || (latencyMs !== null && latencyMs > BEHIND_MS);
  const shown = (
    <>
      <span class="dot" />
      {behind ? t("player.to_live") : t("player.live")}
      {latencyMs !== null && !paused && <span class="badge-latency">{seconds(latencyMs)}</span>}
    </>
  );
  if (!behind) return <span class="badge live">{shown}</span>;
  return (
    <button type="button" class="badge behind" onClick={() => player.toLive()}>
      {shown}
    </button>
  );
}

export function Volume({ of: player }: { of: Player | Replay }) {
  const { muted, volume } = useStore<{ muted: boolean; volume: number }>(player.view as Store<PlayerView | ReplayView>);
  return (
    <div class="volume">
      <button type="button" class="control" aria-label={t(muted ? "player.unmute" : "player.mute")} onClick={() => player.setMuted(!muted)}>
        <Icon name={muted ? "muted" : "volume"} size={24} />
      </button>
      <input
        type="range"
        class="volume-slider"
        min="0"
        max="1"
        step="0.05"
        value={muted ? 0 : volume}
        aria-label={t("player.volume")}
        onInput={(event) => player.setVolume(Number(event.currentTarget.value))}
      />
    </div>
  );
}

/** Only where there is something to choose. */
function Quality({ player }: { player: Player }) {
  const { levels, level } = useStore(player.view);
  if (levels.length < 2) return null;
  return (
    <select
      class="control quality"
      aria-label={t("player.quality")}
      value={level}
      onChange={(event) => player.setLevel(Number(event.currentTarget.value))}
    >
      <option value={-1}>{t("player.quality_auto")}</option>
      {levels.map(({ height, bitrate }, index) => (
        <option key={index} value={index}>
          {height ? `${height}p` : `${Math.round(bitrate / 1000)} kbit/s`}
        </option>
      ))}
    </select>
  );
}

export function FullscreenButton({ video, container }: { video: HTMLVideoElement; container: RefObject<HTMLElement | null> }) {
  const on = useFullscreen();
  if (!canFullscreen(video)) return null;
  const toggle = () => container.current && toggleFullscreen(container.current, video);
  return (
    <button type="button" class="control" aria-label={t(on ? "player.fullscreen_exit" : "player.fullscreen")} onClick={toggle}>
      <Icon name={on ? "shrink" : "fullscreen"} size={24} />
    </button>
  );
}
