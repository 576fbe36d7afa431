import { useEffect, useState } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { useSelected } from "../lib/hooks.ts";
import { Icon } from "../parts/icons.tsx";
import { explainChat } from "./problem.ts";
import type { ChatRoom } from "./room.ts";

export const EMOJI = ["👍", "👏", "❤️", "😂", "🎉", "🤔"] as const;
const SHOWN_MS = 2_400;
/** A class of 500 that claps must not cover the picture. */
const MOST_SHOWN = 12;

/** The student's row below every tab: hand and reactions. */
export function Actions({ chat, hands = true }: { chat: ChatRoom; hands?: boolean }) {
  const on = useSelected(chat.view, (state) => state.link === "on");
  return (
    <div class="actions-row" role="group" aria-label={t("react.title")}>
      {hands && <HandButton chat={chat} on={on} />}
      <div class="reactions">
        {EMOJI.map((emoji) => (
          <button key={emoji} type="button" class="reaction" disabled={!on} aria-label={t("react.send", { emoji })} onClick={() => chat.react(emoji)}>
            {emoji}
          </button>
        ))}
      </div>
    </div>
  );
}

function HandButton({ chat, on }: { chat: ChatRoom; on: boolean }) {
  const hands = useSelected(chat.view, (state) => state.hands);
  const you = useSelected(chat.view, (state) => state.you);
  const [error, setError] = useState("");
  const place = hands.findIndex(({ user }) => user.id === you?.id) + 1;
  const up = place > 0;
  const toggle = async () => {
    const answer = await chat.request("hand", { raised: !up });
    setError(answer.ok ? "" : explainChat(answer.error));
  };
  return (
    <>
      <button type="button" class={up ? "button hand up" : "button hand"} disabled={!on} aria-pressed={up} onClick={toggle}>
        <Icon name="hand" size={20} />
        {t(up ? "hand.lower" : "hand.raise")}
      </button>
      <span class="visually-hidden" role="status">
        {error || (up ? t("hand.place", { place }) : "")}
      </span>
      {up && <span class="hand-place numbers" aria-hidden="true">{place}</span>}
    </>
  );
}

interface Flying {
  key: string;
  emoji: string;
  count: number;
  lane: number;
}

/** Reactions of the class, over the picture. They are not read aloud. */
export function FlyingReactions({ chat }: { chat: ChatRoom }) {
  const burst = useSelected(chat.view, (state) => state.burst);
  const [shown, setShown] = useState<Flying[]>([]);
  useEffect(() => {
    if (burst.serial === 0 || document.hidden) return;
    const fresh = Object.entries(burst.counts)
      .filter(([emoji]) => (EMOJI as readonly string[]).includes(emoji))
      .map(([emoji, count], index): Flying => ({ key: `${burst.serial}${emoji}`, emoji, count, lane: (burst.serial + index) % 6 }));
    setShown((before) => [...before, ...fresh].slice(-MOST_SHOWN));
    setTimeout(() => setShown((before) => before.filter((one) => !fresh.includes(one))), SHOWN_MS);
  }, [burst.serial]);
  return (
    <div class="flying" aria-hidden="true">
      {shown.map(({ key, emoji, count, lane }) => (
        <span key={key} class={`fly lane-${lane}`}>
          {emoji}
          {count > 1 && <b class="numbers">{count}</b>}
        </span>
      ))}
    </div>
  );
}
