import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { clockFormat } from "../lib/format.ts";
import { useNow, useSelected } from "../lib/hooks.ts";
import { Icon } from "../parts/icons.tsx";
import { GrowingField } from "./field.tsx";
import type { ChatRoom } from "./room.ts";
import type { ChatState } from "./state.ts";

/** The server's own limit is `chat.max_message_chars`; it refuses what is longer. */
const MOST_CHARS = 2_000;
const WARN_CHARS = 200;
const TYPING_EVERY_MS = 2_500;

/** Where a message is written, or why none can be. */
export function Composer({ chat, name }: { chat: ChatRoom; name?: ComponentChildren }) {
  const [text, setText] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const typing = useTyping(chat);
  const state = useSelected(chat.view, (value) => value);
  const { why, waitS } = useReason(chat, state);
  const length = [...text].length;
  const left = MOST_CHARS - length;
  if (why) {
    return (
      <p class="composer-closed" role="status">
        <Icon name="lock" size={18} />
        {why}
      </p>
    );
  }
  const ready = text.trim() !== "" && left >= 0 && waitS === 0;
  const send = () => {
    if (!ready) return;
    chat.send(text.trim());
    setText("");
    typing(false);
    field.current?.focus();
  };
  const hint = left < 0 ? t("chat.too_long", { count: -left }) : waitS > 0 ? t("chat.slow_left", { left: waitS }) : left < WARN_CHARS ? t("chat.left", { count: left }) : "";
  return (
    <div class="composer">
      {name}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <div class="composer-line">
          <GrowingField
            field={field}
            value={text}
            label={t("chat.placeholder")}
            placeholder={state.you?.role === "teacher" ? t("chat.placeholder_all") : t("chat.placeholder")}
            describedBy="composer-hint"
            onInput={(value) => {
              setText(value);
              typing(value.trim() !== "");
            }}
            onSubmit={send}
            onBlur={() => typing(false)}
          />
          <button type="submit" class="send" aria-label={t("chat.send")} title={t("chat.keys")} disabled={!ready}>
            <Icon name="send" size={22} />
          </button>
        </div>
        <p id="composer-hint" class={left < 0 ? "hint error" : "hint"}>
          {hint || (state.rules.slow_mode_s > 0 && state.you?.role !== "teacher" ? t("chat.slow", { seconds: state.rules.slow_mode_s }) : "")}
        </p>
      </form>
    </div>
  );
}

/** Return why nothing can be written, and for how many seconds the next message has to wait. */
function useReason(chat: ChatRoom, { you, rules, muted, mutedUntil, waitUntil, link }: ChatState): { why: string | null; waitS: number } {
  const ticking = mutedUntil !== null || waitUntil > chat.now();
  useNow(500, ticking);
  const now = chat.now();
  const waitS = Math.max(0, Math.ceil((waitUntil - now) / 1000));
  const free = { why: null, waitS };
  if (link === "off" || link === "connecting") return { why: t("room.connecting"), waitS };
  if (you?.role === "teacher") return free;
  if (muted && (mutedUntil === null || mutedUntil > now)) {
    const why = mutedUntil === null ? t("chat.muted") : t("chat.muted_left", { left: clockFormat((mutedUntil - now) / 1000) });
    return { why, waitS };
  }
  if (rules.locked) return { why: t("chat.locked"), waitS };
  if (rules.teacher_only) return { why: t("chat.teacher_only"), waitS };
  return free;
}

/** Tells the others now and then that one writes, and once that one stopped. */
function useTyping(chat: ChatRoom): (on: boolean) => void {
  const told = useRef({ on: false, atMs: 0 });
  const tell = (on: boolean) => {
    const now = performance.now();
    if (!on && !told.current.on) return;
    if (on && told.current.on && now - told.current.atMs < TYPING_EVERY_MS) return;
    told.current = { on, atMs: now };
    chat.typing(on);
  };
  useEffect(() => () => tell(false), [chat]);
  return tell;
}
