import type { SeriesView } from "../api/schema.ts";

export type Line = (number | null)[];

/** A minute that runs for less than this gives no useful rate. */
const YOUNG_S = 10;
/** The server publishes its counts up to a second late. */
const LATE_S = 1;
const LEAST_SPAN_S = 600;

/** Lines of the last hour, ready to be drawn. */
export interface Lines {
  /** Unix seconds. */
  at: number[];
  produced: Line;
  landed: Line;
  lag: Line;
  hitPercent: Line;
  orders: Line;
}

/**
 * Return the lines. Minutes before the first event are not drawn as zero. The running minute is scaled by the part of it that
 * has passed, and not drawn in its first seconds.
 */
export function lines(series: SeriesView): Lines {
  const last = series.minutes.length - 1;
  const first = firstSeen(series);
  const scaled = (counts: number[], perS: number): Line =>
    counts.map((count, index) => {
      if (index < first) return null;
      if (index < last) return count / perS;
      return series.elapsed_s < YOUNG_S ? null : (count * 60) / (series.elapsed_s - LATE_S) / perS;
    });
  return {
    at: series.minutes,
    produced: scaled(series.produced, 60),
    landed: scaled(series.landed, 60),
    lag: series.lag,
    hitPercent: series.hit_ratio.map((ratio) => (ratio === null ? null : ratio * 100)),
    orders: scaled(series.orders, 1),
  };
}

/** Return the index of the first minute in which anything was counted. */
function firstSeen({ produced, landed, orders, lag, hit_ratio }: SeriesView): number {
  const index = produced.findIndex((count, i) => count > 0 || landed[i] || orders[i] || lag[i] != null || hit_ratio[i] != null);
  return index < 0 ? produced.length : index;
}

/** Return the range to draw, unix seconds: the last hour, or since the first event, but ten minutes at least. */
export function span(at: number[], drawn: Line[]): [number, number] {
  const end = at.at(-1) ?? 0;
  const first = at.findIndex((_, index) => drawn.some((line) => line[index] != null));
  const begin = first < 0 ? end : (at[first] ?? end);
  return [Math.min(begin, end - LEAST_SPAN_S), end];
}

/** Return the last value that is not null. */
export function latest(line: Line): number | null {
  return line.findLast((value) => value !== null) ?? null;
}

/** Return the value of the topmost label: round, with a round half, and not below `most`. */
export function niceTop(most: number | null): number {
  if (!most || most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  // Rounded off, because 3 * 0.1 is a little more than 0.3.
  return Number((Math.ceil(most / power / 2 - 1e-9) * 2 * power).toPrecision(12));
}
