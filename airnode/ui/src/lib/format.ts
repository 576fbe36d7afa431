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

/** The time of day in the page's language. */
export function timeOfDay(unixS: number, lang: string): string {
  return new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit" }).format(unixS * 1000);
}
