/** The icon set: 24-px strokes in the text's colour. Icons are decoration; labels stand beside or on the button. */
const PATHS = {
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M8 5v14M16 5v14",
  volume: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a7.8 7.8 0 0 1 0 11",
  muted: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM16 9.5l5 5M21 9.5l-5 5",
  fullscreen: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  shrink: "M9 4v5H4M20 9h-5V4M15 20v-5h5M4 15h5v5",
  copy: "M9 9h10v11H9zM15 9V4.5H5V15h4",
  check: "M5 12.5l4.5 4.5L19 7.5",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 9.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6z",
  renew: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L20 9.4M20 4.5v4.9h-4.9",
  people: "M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c.4-3.6 3-5.5 6.5-5.5s6.1 1.9 6.5 5.5M16 4.9a3.5 3.5 0 0 1 0 6.3M18 14.9c2 .8 3.2 2.5 3.5 5.1",
  warn: "M12 4L2.5 20h19zM12 10v4.5M12 17.2v.3",
  alert: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 8v5M12 16v.3",
  plus: "M12 5v14M5 12h14",
  expand: "M14 5h5v5M19 5l-6 6M10 19H5v-5M5 19l6-6",
  download: "M12 4v10.5M7.5 10.5L12 15l4.5-4.5M5 19.5h14",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10.5 10.5v5.5M13.5 10.5v5.5",
  record: "M12 6.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11z",
  stop: "M7 7h10v10H7z",
  rewind: "M4.5 12a7.5 7.5 0 1 0 2.2-5.3L4 9.4M4 4.5v4.9h4.9",
  forward: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L20 9.4M20 4.5v4.9h-4.9",
  close: "M6 6l12 12M18 6L6 18",
  microphone: "M12 3.5a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0v-5a3 3 0 0 0-3-3zM5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3",
  microphone_off: "M9 9v2.5a3 3 0 0 0 4.6 2.5M15 11V6.5a3 3 0 0 0-5.7-1.3M5.5 11.5a6.5 6.5 0 0 0 10.3 5.3M18.5 11.5a6.5 6.5 0 0 1-.6 2.7M12 18v3M3.5 3.5l17 17",
  camera: "M3 7h12v10H3zM15 10.5l6-3.5v10l-6-3.5",
  camera_off: "M8 7h7v7M15 10.5l6-3.5v10l-3-1.8M14 17H3V7h1M3.5 3.5l17 17",
  screen: "M3 5h18v11H3zM8.5 20h7M12 16v4M12 13V8M9.5 10.2L12 7.7l2.5 2.5",
  inset: "M3 5h18v14H3zM12.5 12h6v4.5h-6z",
  hand: "M7 12.5V6.8a1.4 1.4 0 0 1 2.8 0V11V5.2a1.4 1.4 0 0 1 2.8 0V11V5.9a1.4 1.4 0 0 1 2.8 0V12V8.4a1.4 1.4 0 0 1 2.8 0V15a6 6 0 0 1-6 6c-3 0-4.3-1.3-5.6-3.6L4 13.9a1.4 1.4 0 0 1 2.3-1.5z",
  smile: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM8.5 14c.8 1.3 2 2 3.5 2s2.7-.7 3.5-2M9 9.5v.5M15 9.5v.5",
  send: "M4.5 11.5L20 4.5l-5.5 15.5-3.5-6.5zM11 13.5l4.5-4.5",
  more: "M5.5 12h.01M12 12h.01M18.5 12h.01",
  poll: "M5 19.5V12M12 19.5V5M19 19.5V9",
  lock: "M6.5 11h11v8.5h-11zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  down: "M12 5v13M6.5 13L12 18.5 17.5 13",
  up: "M12 19V6M6.5 11L12 5.5 17.5 11",
  info: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 11v5.5M12 7.7v.3",
  gear: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5",
  antenna: "M12 14.5a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM7.5 12.5a6.3 6.3 0 0 1 9 0M4 9a11.3 11.3 0 0 1 16 0",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
  return (
    <svg
      class="icon"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="1.8"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
