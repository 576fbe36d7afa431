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
  /** What the room's feed said last; null before it spoke. */
  room: RoomState | null;
  /** Frames came from the current source. */
  playing: boolean;
  /** The media node is gone, and another place is being asked for. */
  moving: boolean;
  /** The server does not answer, or has no place; tries are under way. */
  broken: boolean;
}

/** The one place where facts become what the person sees. */
export function phaseOf({ supported, joined, granted, room, playing, moving, broken }: Facts): Phase {
  if (!supported) return "unsupported";
  if (!joined) return "idle";
  if (broken) return "lost";
  if (moving) return "moving";
  if (!granted) return "connecting";
  if (room === null || room === "live") return playing ? "live" : "connecting";
  return room;
}
