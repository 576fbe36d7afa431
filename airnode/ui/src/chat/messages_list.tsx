import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { language, t } from "../i18n/index.ts";
import { useSelected, useStore } from "../lib/hooks.ts";
import { Icon } from "../parts/icons.tsx";
import type { Message } from "./events.ts";
import { DraftRow, MessageRow } from "./message.tsx";
import { nameOf } from "./name.tsx";
import type { ChatRoom } from "./room.ts";

/** So near the end the list follows what comes. */
const END_PX = 48;
/** After so long a name stands above the next message again. */
const PAUSE_MS = 5 * 60_000;

/** The messages; it stays at the end unless the reader scrolls back. */
export function MessageList({ chat }: { chat: ChatRoom }) {
  const lang = useStore(language);
  const messages = useSelected(chat.view, (state) => state.messages);
  const drafts = useSelected(chat.view, (state) => state.drafts);
  const you = useSelected(chat.view, (state) => state.you);
  const connected = useSelected(chat.view, (state) => state.link === "on");
  const { list, onScroll, toEnd } = useFollowing(chat, messages, drafts.length);
  return (
    <div class="messages">
      <div ref={list} class="scroll" tabIndex={0} role="log" aria-live="off" aria-label={t("chat.list")} onScroll={onScroll}>
        <Older chat={chat} list={list} />
        {messages.length === 0 && drafts.length === 0 && you && <p class="empty quiet">{t("chat.empty")}</p>}
        <ul>
          {messages.map((message, index) => (
            <MessageRow
              key={message.id + lang}
              chat={chat}
              message={message}
              follows={follows(messages[index - 1], message)}
              own={message.user.id === you?.id}
              moderates={you?.role === "teacher"}
            />
          ))}
          {drafts.map((draft) => (
            <DraftRow key={draft.clientId} chat={chat} draft={draft} you={you} connected={connected} />
          ))}
        </ul>
      </div>
      <ToEnd chat={chat} toEnd={toEnd} />
    </div>
  );
}

function follows(before: Message | undefined, message: Message): boolean {
  return before !== undefined && before.user.id === message.user.id && message.at - before.at < PAUSE_MS;
}

/** Keeps the end in sight, or the place where somebody reads. */
function useFollowing(chat: ChatRoom, messages: readonly Message[], drafts: number) {
  const list = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const toEnd = () => list.current?.scrollTo({ top: list.current.scrollHeight });
  const onScroll = () => {
    const box = list.current;
    if (!box) return;
    const now = box.scrollHeight - box.scrollTop - box.clientHeight < END_PX;
    if (now === atEnd.current) return;
    atEnd.current = now;
    chat.dispatch({ type: "atEnd", atEnd: now });
  };
  const former = useRef(0);
  useLayoutEffect(() => {
    if (atEnd.current || drafts > former.current) toEnd();
    former.current = drafts;
  }, [messages, drafts]);
  useEffect(() => {
    if (!list.current) return;
    // The keyboard of a phone, a poll above: the list is smaller, its end stays in sight.
    const sized = new ResizeObserver(() => atEnd.current && toEnd());
    sized.observe(list.current);
    return () => {
      sized.disconnect();
      chat.dispatch({ type: "atEnd", atEnd: true });
    };
  }, [chat]);
  return { list, onScroll, toEnd };
}

function Older({ chat, list }: { chat: ChatRoom; list: { current: HTMLDivElement | null } }) {
  const more = useSelected(chat.view, (state) => state.more);
  const [busy, setBusy] = useState(false);
  if (!more) return null;
  const load = async () => {
    setBusy(true);
    chat.dispatch({ type: "atEnd", atEnd: false });
    const box = list.current;
    const below = box ? box.scrollHeight - box.scrollTop : 0;
    await chat.older();
    setBusy(false);
    // What was in sight stays there, below what was added.
    requestAnimationFrame(() => box && box.scrollTo({ top: box.scrollHeight - below }));
  };
  return (
    <button type="button" class="button quiet older" disabled={busy} onClick={load}>
      {t("chat.older")}
    </button>
  );
}

function ToEnd({ chat, toEnd }: { chat: ChatRoom; toEnd: () => void }) {
  const atEnd = useSelected(chat.view, (state) => state.atEnd);
  const unread = useSelected(chat.view, (state) => state.unread.chat);
  if (atEnd) return null;
  return (
    <button type="button" class="to-end" onClick={toEnd}>
      <Icon name="down" size={18} />
      {unread > 0 ? t("chat.to_end_new", { count: unread }) : t("chat.to_end")}
    </button>
  );
}

export function Typing({ chat }: { chat: ChatRoom }) {
  const all = useSelected(chat.view, (state) => state.typing);
  const you = useSelected(chat.view, (state) => state.you);
  const [first, second, ...others] = all.filter(({ id }) => id !== you?.id);
  const words = () => {
    if (!first) return "";
    if (!second) return t("chat.typing_one", { name: nameOf(first) });
    if (others.length === 0) return t("chat.typing_two", { name: nameOf(first), other: nameOf(second) });
    return t("chat.typing_many", { count: others.length + 2 });
  };
  return (
    <p class="typing quiet" aria-hidden="true">
      {words()}
    </p>
  );
}
