import { useEffect } from "preact/hooks";

export interface PlayerKeys {
  pause(): void;
  mute(): void;
  fullscreen(): void;
  /** Called beside each of the others: the overlay shows what changed. */
  any(): void;
}

/** Space pauses, M mutes, F is full screen (Esc leaves it by itself); never while someone types. */
export function usePlayerKeys(keys: PlayerKeys, active: boolean): void {
  useEffect(() => {
    if (!active) return;
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing(event.target)) return;
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
  return null;
}

function typing(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement ||
    (target instanceof HTMLInputElement && target.type !== "range")
  );
}
