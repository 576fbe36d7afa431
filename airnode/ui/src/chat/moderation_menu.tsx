import { t } from "../i18n/index.ts";
import { useSelected } from "../lib/hooks.ts";
import { Menu, type MenuItem } from "../parts/menu.tsx";
import type { Message, User } from "./events.ts";
import { measuresOf } from "./measures.ts";
import { nameOf } from "./name.tsx";
import type { ChatRoom } from "./room.ts";

/** What a teacher can do about a person. */
function aboutUser(chat: ChatRoom, user: User, muted: boolean): MenuItem[] {
  const measures = measuresOf(chat);
  if (user.role === "teacher") return [];
  const mute: MenuItem[] = muted
    ? [{ label: t("mod.unmute"), icon: "volume", act: () => measures.unmute(user) }]
    : [
        { label: t("mod.mute"), icon: "muted", act: () => measures.mute(user, false) },
        { label: t("mod.mute_long"), icon: "muted", act: () => measures.mute(user, true) },
      ];
  return [...mute, { label: t("mod.remove"), icon: "close", danger: true, act: () => measures.doomed.set(user) }];
}

export function MessageMenu({ chat, message, own }: { chat: ChatRoom; message: Message; own: boolean }) {
  const muted = useMuted(chat, message.user);
  const items: MenuItem[] = [{ label: t("mod.delete"), icon: "trash", act: () => measuresOf(chat).delete(message.id) }];
  return <Menu label={t("people.of_message", { name: nameOf(message.user) })} items={own ? items : [...items, ...aboutUser(chat, message.user, muted)]} />;
}

export function UserMenu({ chat, user }: { chat: ChatRoom; user: User }) {
  const muted = useMuted(chat, user);
  const items = aboutUser(chat, user, muted);
  return items.length > 0 ? <Menu label={t("people.more", { name: nameOf(user) })} items={items} /> : null;
}

function useMuted(chat: ChatRoom, user: User): boolean {
  return useSelected(chat.view, (state) => state.mutedUsers.some(({ id }) => id === user.id));
}
