import type { Quality } from "./ladder.ts";

export interface Device {
  id: string;
  label: string;
}

export interface Devices {
  cameras: Device[];
  microphones: Device[];
}

/** Why a camera or microphone did not open. */
export type DeviceTrouble = "denied" | "none" | "busy" | "failed";

const WIDTHS: Record<Quality, number> = { 1080: 1920, 720: 1280, 480: 854 };

/** Return the reason of an error of getUserMedia or getDisplayMedia. */
export function deviceTrouble(error: unknown): DeviceTrouble {
  const name = error instanceof Error ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") return "denied";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "none";
  if (name === "NotReadableError" || name === "AbortError") return "busy";
  return "failed";
}

/** Return the cameras and microphones; without permission they have no names. */
export async function listDevices(): Promise<Devices> {
  const all = await navigator.mediaDevices.enumerateDevices();
  const of = (kind: MediaDeviceKind): Device[] =>
    all.filter((each) => each.kind === kind && each.deviceId !== "").map(({ deviceId, label }) => ({ id: deviceId, label }));
  return { cameras: of("videoinput"), microphones: of("audioinput") };
}

/** Open a camera; empty id: the browser's choice. Another one is opened where it does not exist any more. */
export async function openCamera(id: string, quality: Quality): Promise<MediaStreamTrack> {
  const video: MediaTrackConstraints = {
    width: { ideal: WIDTHS[quality] },
    height: { ideal: quality },
    frameRate: { ideal: 30 },
  };
  const stream = await opened({ video: id ? { ...video, deviceId: { exact: id } } : video }, { video });
  return stream.getVideoTracks()[0]!;
}

/** Open a microphone; empty id: the browser's choice. */
export async function openMicrophone(id: string): Promise<MediaStreamTrack> {
  const audio: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  const stream = await opened({ audio: id ? { ...audio, deviceId: { exact: id } } : audio }, { audio });
  return stream.getAudioTracks()[0]!;
}

async function opened(wanted: MediaStreamConstraints, otherwise: MediaStreamConstraints): Promise<MediaStream> {
  try {
    return await navigator.mediaDevices.getUserMedia(wanted);
  } catch (error) {
    if (deviceTrouble(error) !== "none" || wanted === otherwise) throw error;
    return navigator.mediaDevices.getUserMedia(otherwise);
  }
}

/** Ask for a screen, a window or a tab, with its sound where there is some. */
export async function openScreen(): Promise<MediaStream> {
  const stream = await navigator.mediaDevices.getDisplayMedia({
    video: { frameRate: { ideal: 30, max: 30 } },
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const track = stream.getVideoTracks()[0];
  // The encoder keeps text sharp rather than motion smooth.
  if (track && "contentHint" in track) track.contentHint = "detail";
  return stream;
}
