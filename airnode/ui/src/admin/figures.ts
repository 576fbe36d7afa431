/** Numbers in the page's language. */
export function whole(value: number, lang: string): string {
  return new Intl.NumberFormat(lang, { maximumFractionDigits: 0 }).format(value);
}

/** `9.8`, `120`, `20,400`: a digit after the point below a hundred. */
export function rate(value: number, lang: string): string {
  return new Intl.NumberFormat(lang, { maximumFractionDigits: value < 100 ? 1 : 0 }).format(value);
}

/** `₩1,234,000`. */
export function won(value: number, lang: string): string {
  return new Intl.NumberFormat(lang, { style: "currency", currency: "KRW" }).format(value);
}

/** `98.5%`; never 100 where something was missed. */
export function percent(value: number): string {
  const shown = value < 100 ? Math.min(Math.round(value * 10) / 10, 99.9) : 100;
  return `${shown}%`;
}

/** `45 s`, `12 min`, `3 h`: short, for a card. */
export function shortTime(seconds: number, lang: string): string {
  const [unit, value] = seconds < 90 ? ["second", seconds] : seconds < 5_400 ? ["minute", seconds / 60] : ["hour", seconds / 3_600];
  const form = { style: "unit", unit: String(unit), unitDisplay: "short", maximumFractionDigits: 0 } as const;
  return new Intl.NumberFormat(lang, form).format(Number(value));
}

/** `375 Mbit/s`, `2.5 Mbit/s`, `1 Gbit/s`. */
export function bandwidth(bps: number, lang: string): string {
  if (bps >= 1e9) return `${rate(bps / 1e9, lang)} Gbit/s`;
  return bps >= 1e6 ? `${rate(bps / 1e6, lang)} Mbit/s` : `${whole(bps / 1e3, lang)} kbit/s`;
}
