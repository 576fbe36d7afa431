/** What the picture shows: the camera, the screen, the screen with the camera over it, or none of them. */
export interface Layout {
  main: Slot | null;
  /** The camera lies over the screen. */
  inset: boolean;
}

export type Slot = "camera" | "screen";

export interface Area {
  x: number;
  y: number;
  width: number;
  height: number;
}

const INSET_WIDTH = 0.24;
const MARGIN = 0.02;

/** Return the layout for what is on. */
export function layoutOf(on: { camera: boolean; screen: boolean; inset: boolean }): Layout {
  if (on.screen) return { main: "screen", inset: on.camera && on.inset };
  return { main: on.camera ? "camera" : null, inset: false };
}

/** Return where a picture fits whole into a box, in its middle, at even pixels. */
export function contained(width: number, height: number, box: Area): Area {
  if (width <= 0 || height <= 0) return box;
  const scale = Math.min(box.width / width, box.height / height);
  const shownWidth = even(width * scale);
  const shownHeight = even(height * scale);
  return {
    x: box.x + even((box.width - shownWidth) / 2),
    y: box.y + even((box.height - shownHeight) / 2),
    width: shownWidth,
    height: shownHeight,
  };
}

/** Return where the camera lies over the screen: the lower right corner, no taller than a third. */
export function insetArea(width: number, height: number, box: { width: number; height: number }): Area {
  const margin = even(box.width * MARGIN);
  const most = { x: 0, y: 0, width: box.width * INSET_WIDTH, height: box.height / 3 };
  const { width: shownWidth, height: shownHeight } = contained(width, height, most);
  return { x: box.width - shownWidth - margin, y: box.height - shownHeight - margin, width: shownWidth, height: shownHeight };
}

function even(value: number): number {
  return Math.floor(value / 2) * 2;
}
