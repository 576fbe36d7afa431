/** Why a source stopped for good. `codec`: this browser cannot decode the class at all. */
export type FailureKind = "network" | "refused" | "missing" | "media" | "codec";

export interface Failure {
  kind: FailureKind;
  /** The HTTP status, 0 when there was no answer. */
  status: number;
  /** End of the buffered media, in media seconds, when some of it could not be decoded. */
  mediaEndS?: number;
}

export interface Level {
  height: number;
  bitrate: number;
}

/** One way of getting a live class into a video element. */
export interface Engine {
  load(url: string): void;
  /** Go on with a renewed token; false when the source has to be loaded again for it. */
  adopt(url: string, token: string): boolean;
  /** When the frame on screen was captured (unix ms by the stream's clock); null when unknown. */
  playingAtMs(): number | null;
  /** Where to play to be live, in media seconds; null when unknown. */
  livePosition(): number | null;
  /** The media time on screen, where the video element's current time runs on without pictures. */
  positionS?(): number;
  /** How far the sound lies behind the picture, in ms; null: there is none, or it is not known. */
  readonly soundBehindMs?: number | null;
  /** Until where media has come, in media seconds, where the video element's buffer does not show it. */
  endS?(): number;
  /** How much media arrives at once, in seconds. */
  periodS(): number;
  /** It keeps to the live edge by itself; otherwise the player does. */
  readonly paces?: boolean;
  /** The picture stopped though it should move. */
  stalled?(): void;
  levels(): Level[];
  /** -1 chooses by itself. */
  setLevel(index: number): void;
  destroy(): void;
}
