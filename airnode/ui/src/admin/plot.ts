import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { niceTop, span, type Line } from "./series.ts";

export interface Stroke {
  /** A custom property of the style sheet. */
  colour: string;
  dashed?: boolean;
}

const HEIGHT = 120;
const TICKS_PX = 44;
/** The scale goes a little beyond the topmost label, so that a line there is drawn in full. */
const ABOVE_TOP = 1.05;

/** A small chart of the last hour in the page's own colours. Owns everything below `place`. */
export class Plot {
  readonly #place: HTMLElement;
  readonly #strokes: readonly Stroke[];
  readonly #full: number | null;
  readonly #onPoint: (index: number | null) => void;
  readonly #resized = new ResizeObserver(() => this.#fit());
  readonly #dark = matchMedia("(prefers-color-scheme: dark)");
  readonly #recolour = () => this.#make();
  #chart: uPlot | null = null;
  #data: [number[], ...Line[]] = [[]];
  #span: [number, number] = [0, 1];
  #lang: string;

  /** `full`: where the value axis ends; null: at a round value above the highest one. `onPoint` gets the minute below the pointer. */
  constructor(place: HTMLElement, strokes: readonly Stroke[], full: number | null, lang: string, onPoint: (index: number | null) => void) {
    this.#place = place;
    this.#strokes = strokes;
    this.#full = full;
    this.#lang = lang;
    this.#onPoint = onPoint;
    this.#resized.observe(place);
    this.#dark.addEventListener("change", this.#recolour);
  }

  draw(at: number[], drawn: Line[]): void {
    this.#data = [at, ...drawn];
    this.#span = span(at, drawn);
    if (!this.#chart) this.#make();
    else this.#chart.setData(this.#data as uPlot.AlignedData);
  }

  destroy(): void {
    this.#resized.disconnect();
    this.#dark.removeEventListener("change", this.#recolour);
    this.#chart?.destroy();
    this.#chart = null;
  }

  #fit(): void {
    const width = this.#place.clientWidth;
    if (this.#chart && width > 0) this.#chart.setSize({ width, height: HEIGHT });
  }

  #make(): void {
    this.#chart?.destroy();
    const style = getComputedStyle(this.#place);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--quiet"),
      font: `12px ${style.fontFamily}`,
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
    };
    const time = new Intl.DateTimeFormat(this.#lang, { hour: "2-digit", minute: "2-digit", hour12: false });
    const number = new Intl.NumberFormat(this.#lang, { notation: "compact", maximumFractionDigits: 1 });
    const options: uPlot.Options = {
      width: this.#place.clientWidth || 300,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      padding: [8, 24, 0, 0],
      scales: { x: { range: () => this.#span }, y: { range: (_, __, most) => [0, (this.#full ?? niceTop(most)) * ABOVE_TOP] } },
      axes: [
        { ...axis, grid: { show: false }, size: 28, gap: 8, space: 64, values: (_, splits) => splits.map((at) => time.format(at * 1000)) },
        { ...axis, size: TICKS_PX, splits: (_, __, ___, end) => [0, end / ABOVE_TOP / 2, end / ABOVE_TOP], values: (_, splits) => splits.map((value) => number.format(value)) },
      ],
      series: [
        {},
        ...this.#strokes.map(({ colour: name, dashed }) => ({
          stroke: colour(name),
          width: 2,
          ...(dashed ? { dash: [6, 4] } : {}),
          points: { size: 5 },
        })),
      ],
      hooks: { setCursor: [(chart) => this.#onPoint(chart.cursor.idx ?? null)] },
    };
    this.#chart = new uPlot(options, this.#data as uPlot.AlignedData, this.#place);
  }
}

