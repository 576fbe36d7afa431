import { useState } from "preact/hooks";
import { t } from "../i18n/index.ts";

export interface Some<T> {
  shown: T[];
  hidden: number;
  showMore: () => void;
}

/** Return the first `step` rows of a list, and more of them with each call of `showMore`: ten times as many each. */
export function useSome<T>(rows: T[], step: number): Some<T> {
  const [most, setMost] = useState(step);
  return { shown: rows.slice(0, most), hidden: Math.max(0, rows.length - most), showMore: () => setMost(most * 10) };
}

export function MoreButton<T>({ some }: { some: Some<T> }) {
  if (some.hidden === 0) return null;
  return (
    <button type="button" class="button quiet small" onClick={some.showMore}>
      {t("classrecord.more", { count: some.hidden })}
    </button>
  );
}
