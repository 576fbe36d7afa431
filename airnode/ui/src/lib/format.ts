/** `0:07`, `12:05`, `1:02:05`. */
export function clockFormat(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** `2.5 Mbit/s`, `640 kbit/s`. */
export function bitrate(bps: number): string {
  if (bps >= 1_000_000) return `${(bps / 1_000_000).toFixed(1)} Mbit/s`;
  return `${Math.round(bps / 1000)} kbit/s`;
}

/** `0.9 s`; `12 s` above ten seconds. */
export function seconds(ms: number): string {
  const value = Math.max(0, ms) / 1000;
  return value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}

export function resolution(width: number, height: number): string {
  return width > 0 && height > 0 ? `${width} × ${height}` : "–";
}

/** `1.2 GB`, `340 MB`, `12 kB`: decimal, as file managers and bills count. */
export function bytes(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} GB`;
  if (count >= 1e6) return `${Math.round(count / 1e6)} MB`;
  return `${Math.ceil(count / 1e3)} kB`;
}

/** Day and time in the page's language: `Sun, Nov 22, 6:59 PM`. */
export function dayAndTime(unixS: number, lang: string): string {
  const form = { weekday: "short", month: "short", day: "numeric", hour: "numeric", minute: "2-digit" } as const;
  return new Intl.DateTimeFormat(lang, form).format(unixS * 1000);
}

const STEPS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** `2 hours ago`, `yesterday`; below a minute `justNow`. */
export function ago(unixS: number, nowS: number, lang: string, justNow: string): string {
  const pastS = nowS - unixS;
  const step = STEPS.find(([, each]) => pastS >= each);
  if (!step) return justNow;
  const [unit, length] = step;
  return new Intl.RelativeTimeFormat(lang, { numeric: "auto" }).format(-Math.floor(pastS / length), unit);
}

/** The time of day in the page's language: `6:59 PM`, `오후 6:59`. */
export function timeOfDay(unixS: number, lang: string): string {
  return new Intl.DateTimeFormat(lang, { hour: "numeric", minute: "2-digit" }).format(unixS * 1000);
}
