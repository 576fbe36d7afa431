import { chooseCodec } from "./encoderconfig.ts";
import { ladder } from "./ladder.ts";

/** Why a page cannot publish: not https, a browser without the parts, a browser without an H.264 encoder. */
export type Unsupported = "insecure" | "browser" | "no_h264";

/** What a page needs; a test may pass another one. */
export interface Surroundings {
  isSecureContext: boolean;
  navigator: { mediaDevices?: { getUserMedia?: unknown } };
  VideoEncoder?: unknown;
  AudioEncoder?: unknown;
  AudioWorkletNode?: unknown;
  Worker?: unknown;
  OffscreenCanvas?: unknown;
}

/** Return why this page cannot publish; null: it can, as far as can be told without asking the encoder. */
export function missingHere(here: Surroundings): Unsupported | null {
  if (!here.isSecureContext) return "insecure";
  const parts = [
    here.navigator.mediaDevices?.getUserMedia,
    here.VideoEncoder,
    here.AudioEncoder,
    here.AudioWorkletNode,
    here.Worker,
    here.OffscreenCanvas,
  ];
  return parts.every(Boolean) ? null : "browser";
}

/** Return why this browser cannot publish; null: it can. */
export async function whyUnsupported(): Promise<Unsupported | null> {
  const missing = missingHere(window);
  if (missing) return missing;
  const rung = ladder(720)[0];
  return rung && (await chooseCodec(rung)) ? null : "no_h264";
}

/** The browser lets a person share a screen; telephones do not. */
export function canShareScreen(): boolean {
  return typeof navigator.mediaDevices?.getDisplayMedia === "function";
}

/** Return the browser's name and version, for the health strip. */
export function browserName(userAgent: string): string {
  for (const [name, pattern] of [
    ["Edge", /Edg\/(\d+)/],
    ["Firefox", /Firefox\/(\d+)/],
    ["Chrome", /Chrom(?:e|ium)\/(\d+)/],
    ["Safari", /Version\/(\d+).*Safari/],
  ] as const) {
    const found = pattern.exec(userAgent);
    if (found) return `${name} ${found[1]}`;
  }
  return "Browser";
}
