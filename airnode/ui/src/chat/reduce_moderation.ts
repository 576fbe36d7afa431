/** How the teacher's measures change the state. */
import type { ModerationNews, User } from "./events.ts";
import { MOST_REMEMBERED, type ChatState } from "./state.ts";

export function onModeration(state: ChatState, news: ModerationNews): ChatState {
  let next = news.settings ? { ...state, rules: news.settings } : state;
  if (news.deleted !== undefined) next = withoutMessage(next, news.deleted);
  if (news.muted !== undefined) next = onMuted(next, news.muted);
  if (news.unmuted !== undefined) next = onUnmuted(next, idOf(news.unmuted));
  if (news.removed !== undefined) next = onRemoved(next, userOf(next, news.removed));
  if (news.readmitted !== undefined) next = { ...next, removedUsers: without(next.removedUsers, idOf(news.readmitted)) };
  return next;
}

function withoutMessage(state: ChatState, id: string): ChatState {
  const deleted = new Set(state.deleted).add(id);
  for (const oldest of deleted) if (deleted.size > MOST_REMEMBERED) deleted.delete(oldest);
  return { ...state, deleted, messages: state.messages.filter((one) => one.id !== id) };
}

function onMuted(state: ChatState, muted: NonNullable<ModerationNews["muted"]>): ChatState {
  const whole = typeof muted === "object" && "user" in muted;
  const user = userOf(state, whole ? muted.user : muted);
  if (user.id === state.you?.id) return { ...state, muted: true, mutedUntil: whole ? (muted.until ?? null) : null };
  return { ...state, mutedUsers: [...without(state.mutedUsers, user.id), user] };
}

function onUnmuted(state: ChatState, id: string): ChatState {
  if (id === state.you?.id) return { ...state, muted: false, mutedUntil: null };
  return { ...state, mutedUsers: without(state.mutedUsers, id) };
}

function onRemoved(state: ChatState, user: User): ChatState {
  if (user.id === state.you?.id) return { ...state, link: "removed", drafts: [] };
  return {
    ...state,
    removedUsers: [...without(state.removedUsers, user.id), user],
    hands: state.hands.filter((hand) => hand.user.id !== user.id),
  };
}

function without(users: readonly User[], id: string): readonly User[] {
  return users.filter((user) => user.id !== id);
}

function idOf(user: User | string): string {
  return typeof user === "string" ? user : user.id;
}

/** Return the person of an id as the state knows it. */
function userOf({ members, messages, hands }: ChatState, user: User | string): User {
  if (typeof user !== "string") return user;
  const known = members.users?.find(({ id }) => id === user) ?? hands.find((hand) => hand.user.id === user)?.user;
  return known ?? messages.findLast((message) => message.user.id === user)?.user ?? { id: user, name: user, role: "student" };
}
