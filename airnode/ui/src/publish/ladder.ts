/** A size and frame rate to encode, and the least bit rate at which it looks right. */
export interface Rung {
  width: number;
  height: number;
  frameRate: number;
  fromBps: number;
}

/** The height that the teacher chooses. */
export type Quality = 1080 | 720 | 480;

export const QUALITIES: readonly Quality[] = [1080, 720, 480];
export const MIN_BPS = 120_000;

/** The bit rate of a good uplink, by quality. */
export const FULL_BPS: Record<Quality, number> = { 1080: 4_500_000, 720: 2_500_000, 480: 1_200_000 };

const SIZES: readonly (readonly [number, number])[] = [
  [1920, 1080],
  [1280, 720],
  [854, 480],
  [640, 360],
  [426, 240],
];

/**
 * Return the rungs of a quality, the best first. On the way down the bit rate gives way first, then the frame rate, and
 * last the size, so that writing on a screen stays readable for as long as possible.
 */
export function ladder(quality: Quality): Rung[] {
  const full = FULL_BPS[quality];
  const rungs: Rung[] = [];
  const at = (height: number, frameRate: number, fromBps: number) => {
    const [width = 0] = SIZES.find(([, each]) => each === height) ?? [];
    rungs.push({ width: width & ~1, height, frameRate, fromBps: Math.round(fromBps) });
  };
  at(quality, 30, full * 0.48);
  at(quality, 20, full * 0.32);
  at(quality, 15, full * 0.2);
  const smaller = SIZES.filter(([, height]) => height < quality);
  for (const [, height] of smaller) {
    const fromBps = height === 240 ? 0 : (height / quality) ** 2 * full * 0.22;
    at(height, 15, fromBps);
  }
  return rungs;
}

/** Going up again needs this much more than the rung's least bit rate, so that two rungs do not alternate. */
const UP = 1.25;

/** Return the index of the rung for a bit rate; `now` is the present one. */
export function rungFor(rungs: readonly Rung[], bitrateBps: number, now: number): number {
  const fits = rungs.findIndex(({ fromBps }) => bitrateBps >= fromBps);
  const down = fits < 0 ? rungs.length - 1 : fits;
  if (down >= now) return down;
  const up = rungs.findIndex(({ fromBps }) => bitrateBps >= fromBps * UP);
  return up < 0 ? now : Math.min(now, up);
}
