import type { Rung } from "./ladder.ts";

/** H.264 profiles as the first four digits of a codec string: High, Main, Constrained Baseline. */
const PROFILES = ["6400", "4d00", "42e0"] as const;
/** H.264 levels (ITU-T H.264 table A-1): macroblocks a second and a frame that they allow. */
const LEVELS = [
  { idc: 0x1e, perSecond: 40_500, perFrame: 1_620 },
  { idc: 0x1f, perSecond: 108_000, perFrame: 3_600 },
  { idc: 0x20, perSecond: 216_000, perFrame: 5_120 },
  { idc: 0x28, perSecond: 245_760, perFrame: 8_192 },
  { idc: 0x2a, perSecond: 522_240, perFrame: 8_704 },
] as const;

export const SOUND_RATE = 48_000;
export const SOUND_CHANNELS = 2;

/** Return the lowest level for a size and frame rate. */
export function levelFor(width: number, height: number, frameRate: number): number {
  const blocks = Math.ceil(width / 16) * Math.ceil(height / 16);
  const level = LEVELS.find(({ perSecond, perFrame }) => blocks <= perFrame && blocks * frameRate <= perSecond);
  return level?.idc ?? 0x33;
}

/** Return the codec strings to try, the one that compresses best first. */
export function codecStrings({ width, height, frameRate }: Pick<Rung, "width" | "height" | "frameRate">): string[] {
  const level = levelFor(width, height, frameRate).toString(16).padStart(2, "0");
  return PROFILES.map((profile) => `avc1.${profile}${level}`);
}

export function videoConfig(codec: string, { width, height, frameRate }: Rung, bitrateBps: number): VideoEncoderConfig {
  return {
    codec,
    width,
    height,
    framerate: frameRate,
    bitrate: bitrateBps,
    bitrateMode: "variable",
    latencyMode: "realtime",
    avc: { format: "avc" },
  };
}

type Supports = (config: VideoEncoderConfig) => Promise<{ supported?: boolean }>;

/** Return the best codec string that the browser encodes; null: it encodes no H.264. `without`: strings that failed. */
export async function chooseCodec(
  rung: Rung,
  without: ReadonlySet<string> = new Set(),
  supports: Supports = (config) => VideoEncoder.isConfigSupported(config),
): Promise<string | null> {
  for (const codec of codecStrings(rung)) {
    if (without.has(codec)) continue;
    const { supported } = await supports(videoConfig(codec, rung, 1_000_000)).catch(() => ({ supported: false }));
    if (supported) return codec;
  }
  return null;
}

export const AAC: AudioEncoderConfig = {
  codec: "mp4a.40.2",
  sampleRate: SOUND_RATE,
  numberOfChannels: SOUND_CHANNELS,
  bitrate: 128_000,
};
export const OPUS: AudioEncoderConfig = {
  codec: "opus",
  sampleRate: SOUND_RATE,
  numberOfChannels: SOUND_CHANNELS,
  bitrate: 96_000,
};

type SoundSupports = (config: AudioEncoderConfig) => Promise<{ supported?: boolean }>;

/** Return AAC where the browser encodes it, else Opus; null: neither. */
export async function chooseSound(
  supports: SoundSupports = (config) => AudioEncoder.isConfigSupported(config),
): Promise<AudioEncoderConfig | null> {
  for (const config of [AAC, OPUS]) {
    const { supported } = await supports(config).catch(() => ({ supported: false }));
    if (supported) return config;
  }
  return null;
}
