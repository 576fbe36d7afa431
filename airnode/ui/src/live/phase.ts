import type { RoomState } from "../api/types.ts";

/** What the page shows; also the value of `data-state`. */
export type Phase =
  | "idle"
  | "connecting"
  | "waiting"
  | "live"
  | "reconnecting"
  | "ended"
  | "moving"
  | "lost"
  | "unsupported";

export interface Facts {
  /** The browser can play this class. */
  supported: boolean;
  /** The person asked to be in the class. */
  joined: boolean;
  /** A token is held. */
  granted: boolean;
  /** What the room's feed reported last; null before its first report. */
  room: RoomState | null;
  /** Frames came from the current source. */
  playing: boolean;
  /** The source cannot go on, and a new token or place is being requested. */
  moving: boolean;
  /** The server does not answer, or has no place; the page keeps trying. */
  unanswered: boolean;
}

/** Return what the person sees: the one place where facts become that. */
export function phaseOf({ supported, joined, granted, room, playing, moving, unanswered }: Facts): Phase {
  if (!supported) return "unsupported";
  if (!joined) return "idle";
  if (unanswered) return "lost";
  if (moving) return "moving";
  if (!granted) return "connecting";
  if (room === null || room === "live") return playing ? "live" : "connecting";
  return room;
}
