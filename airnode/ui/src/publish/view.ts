import type { Device, DeviceTrouble } from "./devices.ts";
import type { Quality } from "./ladder.ts";
import type { Figures, Trouble } from "./messages.ts";
import type { Unsupported } from "./support.ts";

/**
 * Where the teacher's browser stands.
 *
 *     unsupported
 *     idle ──▶ checking ──▶ ready ──▶ connecting ──▶ live ◀──▶ reconnecting
 *      ▲                     │  ▲         │           │             │
 *      ├───────── left ──────┘  │         │           │             │
 *      ├──────────── stopped ───┼─────────┴───────────┴─────────────┤
 *      │                        └─ start again ─ refused ◀──────────┘
 */
export type GoLivePhase =
  | "unsupported"
  | "idle"
  | "checking"
  | "ready"
  | "connecting"
  | "live"
  | "reconnecting"
  | "refused";

export interface GoLiveView {
  phase: GoLivePhase;
  /** The room that is published to. */
  room: string;
  unsupported: Unsupported | null;
  /** Why camera or microphone did not open; the other one may have. */
  cameraTrouble: DeviceTrouble | null;
  microphoneTrouble: DeviceTrouble | null;
  /** Why it was refused, or why it is being tried again. */
  trouble: Trouble | null;
  /** Something that the teacher should know while the class goes on. */
  remark: Trouble | null;
  cameras: Device[];
  microphones: Device[];
  cameraId: string;
  microphoneId: string;
  quality: Quality;
  /** The camera is on; null stream: it is off or did not open. */
  camera: MediaStream | null;
  hasMicrophone: boolean;
  muted: boolean;
  screen: MediaStream | null;
  inset: boolean;
  figures: Figures | null;
}

export const BEFORE: GoLiveView = {
  phase: "idle",
  room: "",
  unsupported: null,
  cameraTrouble: null,
  microphoneTrouble: null,
  trouble: null,
  remark: null,
  cameras: [],
  microphones: [],
  cameraId: "",
  microphoneId: "",
  quality: 720,
  camera: null,
  hasMicrophone: false,
  muted: false,
  screen: null,
  inset: true,
  figures: null,
};

/** Media go out, or are about to. */
export function isPublishing(phase: GoLivePhase): boolean {
  return phase === "connecting" || phase === "live" || phase === "reconnecting";
}
