import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { useSelected } from "../lib/hooks.ts";
import { Tabs, type TabItem } from "../parts/tabs.tsx";
import { Speaker } from "./speaker.tsx";
import { Composer } from "./composer.tsx";
import { MessageList, Typing } from "./messages_list.tsx";
import { ModerationNotes } from "./moderation.tsx";
import { People } from "./people.tsx";
import { PollCard } from "./poll.tsx";
import { explainChat } from "./problem.ts";
import { Questions } from "./questions.tsx";
import type { ChatRoom } from "./room.ts";
import type { Tab } from "./state.ts";

interface ColumnProps {
  chat: ChatRoom;
  /** Above the tabs. */
  head?: ComponentChildren;
  /** Above the messages: the teacher's rules. */
  rules?: ComponentChildren;
  /** Below every tab. */
  foot?: ComponentChildren;
  /** Above the field of a message: as who one writes. */
  name?: ComponentChildren;
  /** A fourth tab of the page's own. */
  info?: ComponentChildren;
}

/** The room beside the picture: chat, questions, people. */
export function RoomColumn({ chat, head, rules, foot, name, info }: ColumnProps) {
  const chosen = useSelected(chat.view, (state) => state.tab);
  // A window that became wide has no such tab any more.
  const tab = chosen === "info" && !info ? "chat" : chosen;
  const unread = useSelected(chat.view, (state) => state.unread);
  const count = useSelected(chat.view, (state) => state.members.count);
  const hands = useSelected(chat.view, (state) => state.hands.length);
  const teacher = useSelected(chat.view, (state) => state.you?.role === "teacher");
  useLooking(chat, chosen, tab);
  const fresh = (new_: number) => (new_ > 0 ? { text: new_ > 99 ? "99+" : String(new_), spoken: t("room.unread", { count: new_ }), urgent: true } : null);
  const people = teacher && hands > 0 ? { text: String(hands), spoken: `${t("hand.title")} ${hands}`, urgent: true, icon: "hand" as const } : count > 0 ? { text: String(count), spoken: t("people.count", { count }) } : null;
  const items: TabItem<Tab>[] = [
    { id: "chat", label: t("room.chat"), mark: fresh(unread.chat) },
    { id: "ask", label: t("room.ask"), mark: fresh(unread.ask) },
    { id: "people", label: t("room.people"), mark: people },
  ];
  if (info) items.push({ id: "info", label: t("room.info") });
  return (
    <section class="room" aria-label={t("room.column")}>
      {head}
      <LinkNote chat={chat} />
      <PollCard chat={chat} />
      <Tabs label={t("room.tabs")} items={items} chosen={tab} onChoose={(next) => chat.look(next, !document.hidden)}>
        {tab === "chat" && (
          <>
            {rules}
            <MessageList chat={chat} />
            <Typing chat={chat} />
            <Composer chat={chat} name={name} />
          </>
        )}
        {tab === "ask" && <Questions chat={chat} />}
        {tab === "people" && <People chat={chat} />}
        {tab === "info" && <div class="scroll info">{info}</div>}
      </Tabs>
      {foot}
      {teacher && <ModerationNotes chat={chat} />}
      <Speaker chat={chat} />
    </section>
  );
}

/** Nobody reads a page that is hidden: what comes meanwhile counts as new. */
function useLooking(chat: ChatRoom, chosen: Tab, shown: Tab): void {
  useEffect(() => {
    const look = () => chat.see(!document.hidden);
    look();
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, [chat]);
  useEffect(() => {
    // Effects come after the paint: the next key may have chosen another tab since, and that one counts.
    if (shown !== chosen && chat.view.value.tab === chosen) chat.look(shown, !document.hidden);
  }, [chat, chosen, shown]);
}

/** What is wrong with the connection, in words. */
function LinkNote({ chat }: { chat: ChatRoom }) {
  const link = useSelected(chat.view, (state) => state.link);
  const trouble = useSelected(chat.view, (state) => state.trouble);
  const alone = useSelected(chat.view, (state) => state.alone);
  const words = () => {
    if (link === "away") return t("room.away");
    if (link === "refused") return t("room.refused", { detail: trouble ? explainChat(trouble) : "" });
    return alone ? t("room.alone") : "";
  };
  const text = words();
  return (
    <p class={text ? "link-note" : "link-note visually-hidden"} role="status">
      {text}
    </p>
  );
}
