/** How the teacher's measures change the state. */
import type { ModerationNews, User } from "./events.ts";
import { MOST_REMEMBERED, type ChatState } from "./state.ts";

export function onModeration(state: ChatState, { settings, deleted, muted, unmuted, removed, readmitted }: ModerationNews): ChatState {
  let next = settings ? { ...state, rules: settings } : state;
  if (deleted !== undefined) next = withoutMessage(next, deleted);
  if (muted) next = onMuted(next, muted.user, muted.until);
  if (unmuted !== undefined) next = onUnmuted(next, unmuted);
  if (removed) next = onRemoved(next, removed);
  if (readmitted !== undefined) next = { ...next, removedUsers: without(next.removedUsers, readmitted) };
  return next;
}

function withoutMessage(state: ChatState, id: string): ChatState {
  const deleted = new Set(state.deleted).add(id);
  for (const oldest of deleted) if (deleted.size > MOST_REMEMBERED) deleted.delete(oldest);
  return { ...state, deleted, messages: state.messages.filter((one) => one.id !== id) };
}

function onMuted(state: ChatState, user: User, until: number | null): ChatState {
  if (user.id === state.you?.id) return { ...state, muted: true, mutedUntil: until };
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
