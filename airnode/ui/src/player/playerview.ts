import type { Failure, Level } from "./engine.ts";

export interface PlayerView {
  /** Frames came from the current source. */
  playing: boolean;
  /** The person paused. */
  paused: boolean;
  muted: boolean;
  volume: number;
  /** The browser refused sound until the page is touched. */
  soundBlocked: boolean;
  /** A kept picture covers the element while the source is loaded again. */
  frozen: boolean;
  levels: Level[];
  level: number;
}

export interface PlayerEvents {
  firstFrame(): void;
  failed(failure: Failure): void;
  /** Nothing comes, or a request got no answer: the node may be gone. */
  suspect(): void;
  /** Whether the node answers at all. */
  reachable(): Promise<boolean>;
}

/** Before anything is loaded. */
export const NOTHING_PLAYS: PlayerView = {
  playing: false,
  paused: false,
  muted: false,
  volume: 1,
  soundBlocked: false,
  frozen: false,
  levels: [],
  level: -1,
};
