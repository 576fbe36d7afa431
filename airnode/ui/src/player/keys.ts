import { useEffect } from "preact/hooks";

const ARROWS: Partial<Record<string, number>> = { ArrowLeft: -10, ArrowRight: 10 };

export interface PlayerKeys {
  pause(): void;
  mute(): void;
  fullscreen(): void;
  /** Recordings only: so many seconds on or back. */
  skip?(byS: number): void;
  /** Called beside each of the others: the overlay shows what changed. */
  any(): void;
}

/** Space pauses, M mutes, F is full screen (Esc leaves it by itself), arrows seek in recordings; never while someone types. */
export function usePlayerKeys(keys: PlayerKeys, active: boolean): void {
  useEffect(() => {
    if (!active) return;
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || (event.repeat && !(event.code in ARROWS)) || typing(event.target)) return;
      const act = actionFor(event, keys);
      if (!act) return;
      event.preventDefault();
      act();
      keys.any();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  });
}

function actionFor(event: KeyboardEvent, keys: PlayerKeys): (() => void) | null {
  // A focused button takes the space key for itself.
  if (event.code === "Space") return event.target instanceof HTMLButtonElement ? null : keys.pause;
  // By place, so that the keys also work while a Korean keyboard is on.
  if (event.code === "KeyM") return keys.mute;
  if (event.code === "KeyF") return keys.fullscreen;
  const step = ARROWS[event.code];
  // The volume's slider keeps its arrows; the position's has the same use for them.
  if (step && keys.skip && !(event.target instanceof Element && event.target.matches(".volume-slider"))) return () => keys.skip?.(step);
  return null;
}

function typing(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement ||
    (target instanceof HTMLInputElement && target.type !== "range")
  );
}
