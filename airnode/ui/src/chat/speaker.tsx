import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { nameOf } from "./name.tsx";
import type { ChatRoom } from "./room.ts";
import type { ChatState } from "./state.ts";

/** A screen reader hears of the chat at most so often. */
const PAUSE_MS = 4_000;

/** Reads what is new to a screen reader, without flooding: one message in its words, more as their number. */
export function Speaker({ chat }: { chat: ChatRoom }) {
  const [text, setText] = useState("");
  const heard = useRef<ChatState>(chat.view.value);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const speak = () => {
      timer = undefined;
      const now = chat.view.value;
      const news = spoken(heard.current, now);
      heard.current = now;
      if (news) setText(news);
    };
    const listen = () => {
      // What was there when one came is not new.
      if (heard.current.room === null) heard.current = chat.view.value;
      else timer ??= setTimeout(speak, PAUSE_MS);
    };
    const stop = chat.view.subscribe(listen);
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [chat]);
  return (
    <p class="visually-hidden" role="status" aria-live="polite">
      {text}
    </p>
  );
}

function spoken(before: ChatState, now: ChatState): string {
  const words: string[] = [];
  if (now.poll?.open && now.poll.id !== before.poll?.id) words.push(t("poll.spoken", { question: now.poll.question }));
  const hand = now.hands.find(({ user }) => !before.hands.some((one) => one.user.id === user.id));
  if (hand && now.you?.role === "teacher") words.push(t("hand.spoken", { name: nameOf(hand.user) }));
  const question = now.questions.find(({ id, user }) => user.id !== now.you?.id && !before.questions.some((one) => one.id === id));
  if (question && now.you?.role === "teacher") words.push(t("ask.spoken", { name: nameOf(question.user), text: question.content }));
  const last = before.messages[before.messages.length - 1];
  const from = last ? now.messages.findLastIndex(({ id }) => id === last.id) + 1 : 0;
  const fresh = last && from === 0 ? [] : now.messages.slice(from).filter(({ user }) => user.id !== now.you?.id);
  const [first] = fresh;
  if (first && fresh.length === 1) words.push(t("chat.spoken", { name: nameOf(first.user), text: first.content }));
  else if (first) words.push(t("chat.spoken_many", { count: fresh.length }));
  return words.join(". ");
}
