import type { Phase } from "./phase.ts";
import type { LiveRoom } from "./room.ts";
import type { Path } from "../player/path.ts";
import { readStats } from "./stats.ts";

/** `window.airnode`: values for tests and for people with the console open. */
export interface Debug {
  readonly latencyMs: number | null;
  readonly state: Phase;
  readonly stalls: number;
  readonly hls: unknown;
  readonly path: Path | null;
  /** Whether the lowest delay is played ("on", "off"), or why it was given up. */
  readonly lowDelay: string;
  readonly soundBehindMs: number | null;
  readonly clockOffsetMs: number;
  readonly playbackRate: number;
  readonly aheadS: number;
}

declare global {
  interface Window {
    airnode?: Debug;
  }
}

export function exposeDebug(room: LiveRoom): void {
  window.airnode = {
    get latencyMs() {
      return room.latencyMs();
    },
    get state() {
      return room.view.value.phase;
    },
    get stalls() {
      return readStats(room).stalls;
    },
    get hls() {
      return room.player?.hls ?? null;
    },
    get path() {
      return room.player?.path ?? null;
    },
    get lowDelay() {
      return room.player?.lowDelayState ?? "off";
    },
    get soundBehindMs() {
      return room.player?.soundBehindMs ?? null;
    },
    get clockOffsetMs() {
      return room.clock.offsetMs;
    },
    get playbackRate() {
      return room.player?.video.playbackRate ?? 1;
    },
    get aheadS() {
      return readStats(room).aheadS;
    },
  };
}
