import { useEffect, useState } from "preact/hooks";
import type { LiveRoom } from "./room.ts";

const PERIOD_MS = 500;

export interface Stats {
  latencyMs: number | null;
  width: number;
  height: number;
  droppedFrames: number;
  stalls: number;
  aheadS: number;
}

const NOTHING: Stats = { latencyMs: null, width: 0, height: 0, droppedFrames: 0, stalls: 0, aheadS: 0 };

export function readStats(room: LiveRoom): Stats {
  const { player } = room;
  if (!player) return NOTHING;
  const { videoWidth, videoHeight } = player.video;
  return {
    latencyMs: room.latencyMs(),
    width: videoWidth,
    height: videoHeight,
    droppedFrames: player.video.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0,
    stalls: player.stalls,
    aheadS: player.aheadS(),
  };
}

/** Return what the player measures, renewed twice a second. */
export function useStats(room: LiveRoom): Stats {
  const [stats, setStats] = useState(NOTHING);
  useEffect(() => {
    const timer = setInterval(() => setStats(readStats(room)), PERIOD_MS);
    return () => clearInterval(timer);
  }, [room]);
  return stats;
}
