import { t, type Key } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import type { Phase } from "./phase.ts";
import type { LiveRoom } from "./room.ts";

const SPOKEN: Partial<Record<Phase, Key>> = {
  connecting: "phase.connecting",
  waiting: "phase.waiting",
  live: "phase.live",
  reconnecting: "phase.reconnecting",
  ended: "phase.ended",
  moving: "phase.moving",
  lost: "phase.lost",
  unsupported: "phase.unsupported",
};

/** Announces each change of the phase once to a screen reader, without countdowns. `own`: other words than a student's. */
export function Announce({ room, own = {} }: { room: LiveRoom; own?: Partial<Record<Phase, Key>> }) {
  const { phase } = useStore(room.view);
  const key = own[phase] ?? SPOKEN[phase];
  return (
    <p class="visually-hidden" role="status" aria-live="polite">
      {key ? t(key) : ""}
    </p>
  );
}
