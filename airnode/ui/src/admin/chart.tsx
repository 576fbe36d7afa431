import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { language, t } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import { timeOfDay } from "../lib/format.ts";
import { latest, type Line } from "./series.ts";
import type { Plot, Stroke } from "./plot.ts";

export interface ChartLine extends Stroke {
  /** Empty where there is only one line. */
  name: string;
  values: Line;
  /** The present value, where one newer than the last minute is known. */
  now?: number | null;
}

interface Props {
  title: string;
  unit: string;
  at: number[];
  lines: ChartLine[];
  /** Return one value with its unit. */
  format: (value: number) => string;
  full?: number;
  children?: ComponentChildren;
}

/** A chart with its unit, and its values as text: the present ones, or those of the minute below the pointer. */
export function Chart({ title, unit, at, lines, format, full, children }: Props) {
  const lang = useStore(language);
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const data = useRef({ at, lines });
  data.current = { at, lines };
  const draw = () => plot.current?.draw(data.current.at, data.current.lines.map(({ values }) => values));
  useEffect(() => {
    let gone = false;
    // The library is loaded with the first chart.
    void import("./plot.ts").then(({ Plot }) => {
      if (gone || !place.current) return;
      plot.current = new Plot(place.current, data.current.lines, full ?? null, lang, setPointed);
      draw();
    });
    return () => {
      gone = true;
      plot.current?.destroy();
      plot.current = null;
    };
  }, [lang]);
  useEffect(draw, [at, lines]);
  const value = ({ values, now }: ChartLine) => (pointed === null ? (now ?? latest(values)) : (values[pointed] ?? null));
  const words = (line: ChartLine) => {
    const found = value(line);
    return found === null ? "–" : format(found);
  };
  const summary = lines.map((line) => [line.name, words(line)].filter(Boolean).join(" ")).join(", ");
  return (
    <figure class="card chart">
      <figcaption>
        <h3>
          {title} <span class="quiet">{unit}</span>
        </h3>
        <span class="quiet numbers">{pointed === null ? t("chart.now") : timeOfDay(at[pointed] ?? 0, lang)}</span>
      </figcaption>
      <dl class="chart-values">
        {lines.map((line) => (
          <div key={line.name}>
            <dt class={line.name ? "" : "visually-hidden"}>
              <span class={`stroke ${line.dashed ? "dashed" : ""} ${line.colour.slice(2)}`} />
              {line.name || title}
            </dt>
            <dd>{words(line)}</dd>
          </div>
        ))}
      </dl>
      <div ref={place} class="plot" role="img" aria-label={t("chart.label", { title, unit, summary })} />
      {children && <div class="chart-foot quiet">{children}</div>}
    </figure>
  );
}
