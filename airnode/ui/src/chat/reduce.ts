import type { AskNews, ChatError, HandNews, Joined, Message, ModerationNews, Poll, PresenceNews, User } from "./events.ts";
import { inserted, meets, merged } from "./messages.ts";
import { isOwnEpoch, offsetOf, parseOffset, type Offset } from "./offsets.ts";
import { onAsk, onHand, onPoll, onPresence } from "./reduce_class.ts";
import { onModeration } from "./reduce_moderation.ts";
import { MOST_KEPT, MOST_READ_BACK, OUTSIDE, type ChatLink, type ChatState, type Tab } from "./state.ts";

/** What the server says. `offset`: the last argument of a lasting fact. */
export type ServerEvent =
  /** `anew`: something is missing between what we have and the answer. */
  | { type: "joined"; answer: Joined; anew?: boolean }
  | { type: "message"; message: Message }
  /** Pages of the history: `older` ones before what we have, or those that a gap left out. */
  | { type: "history"; messages: Message[]; more: boolean; older: boolean }
  | { type: "hand"; news: HandNews; offset?: string | undefined }
  | { type: "poll"; poll: Poll; offset?: string | undefined }
  | { type: "ask"; news: AskNews; offset?: string | undefined }
  | { type: "moderation"; news: ModerationNews; offset?: string | undefined }
  | { type: "presence"; news: PresenceNews }
  /** Who is there altogether. */
  | { type: "members"; members: ChatState["members"] }
  | { type: "typing"; users: User[] }
  | { type: "reaction"; counts: Record<string, number> }
  | { type: "removed" };

/** What the page does. */
export type PageEvent =
  | { type: "link"; link: ChatLink; trouble?: ChatError | null }
  | { type: "left" }
  | { type: "draft"; clientId: string; content: string; at: number }
  | { type: "sent"; clientId: string; id: string; offset: string; at: number }
  | { type: "unsent"; clientId: string; error: ChatError; now: number }
  | { type: "discard"; clientId: string }
  | { type: "answered"; id: string; index: number | null }
  | { type: "supported"; id: string; on: boolean }
  | { type: "atEnd"; atEnd: boolean }
  | { type: "look"; tab: Tab; visible: boolean };

export type ChatEvent = ServerEvent | PageEvent;

export function reduce(state: ChatState, event: ChatEvent): ChatState {
  switch (event.type) {
    case "joined":
      return onJoined(state, event.answer, event.anew ?? false);
    case "message":
      return onMessage(state, event.message);
    case "history":
      return onHistory(state, event.messages, event.more, event.older);
    case "hand":
      return onHand(advanced(state, event.offset), event.news);
    case "poll":
      return onPoll(advanced(state, event.offset), event.poll);
    case "ask":
      return onAsk(advanced(state, event.offset), event.news);
    case "moderation":
      return onModeration(advanced(state, event.offset), event.news);
    case "presence":
      return onPresence(state, event.news);
    case "members":
      return { ...state, members: event.members };
    case "typing":
      return { ...state, typing: event.users };
    case "reaction":
      return { ...state, burst: { serial: state.burst.serial + 1, counts: event.counts } };
    case "removed":
      return { ...state, link: "removed", drafts: [], typing: [] };
    default:
      return onPage(state, event);
  }
}

function onPage(state: ChatState, event: PageEvent): ChatState {
  switch (event.type) {
    case "link":
      // Who was removed stays so, whatever the connection does.
      if (state.link === "removed" && event.link === "away") return state;
      return { ...state, link: event.link, trouble: event.trouble ?? null, typing: event.link === "on" ? state.typing : [] };
    case "left":
      return { ...OUTSIDE, tab: state.tab };
    case "draft":
      return { ...state, drafts: [...state.drafts, { clientId: event.clientId, content: event.content, at: event.at, failed: null }] };
    case "sent":
      return onSent(state, event);
    case "unsent":
      return onUnsent(state, event.clientId, event.error, event.now);
    case "discard":
      return { ...state, drafts: state.drafts.filter(({ clientId }) => clientId !== event.clientId) };
    case "answered":
      return { ...state, answer: event.index === null ? null : { id: event.id, index: event.index } };
    case "supported":
      return { ...state, supported: withItem(state.supported, event.id, event.on) };
    case "atEnd":
      return bounded({ ...state, atEnd: event.atEnd });
    case "look":
      return look(state, event.tab, event.visible);
  }
}

/** Moves on to a newer fact; an older one that comes late changes nothing. */
function advanced(state: ChatState, text: string | undefined): ChatState {
  const offset = parseOffset(text);
  if (offset === null) return state;
  // A place of this server alone is no place to go on from.
  return isOwnEpoch(offset) ? { ...state, alone: true } : { ...state, alone: false, at: newer(state.at, offset) };
}

function newer(at: Offset | null, offset: Offset): Offset {
  return at !== null && at.epoch === offset.epoch && at.number >= offset.number ? at : offset;
}

function onJoined(state: ChatState, answer: Joined, anew: boolean): ChatState {
  const at = offsetOf(answer.epoch, answer.offset);
  const same = state.room === answer.room && (state.at === null || state.at.epoch === at.epoch);
  const before = same ? state : { ...OUTSIDE, tab: state.tab, drafts: state.room === answer.room ? state.drafts : [] };
  const page = answer.messages.filter(({ id }) => !before.deleted.has(id));
  // More was missed than the answer holds: what we had would leave a hole in front of it.
  const kept = !anew && meets(before.messages, page) ? before.messages : [];
  const { hands, poll, questions, muted, muted_until, muted_users, removed_users, ...rules } = answer.state;
  const users = answer.members.users ?? null;
  const named = { ...before, members: { count: answer.members.count, users } };
  const missed = state.room === answer.room ? page.filter(({ id, user }) => user.id !== answer.you.id && !before.messages.some((one) => one.id === id)).length : 0;
  return bounded({
    ...named,
    link: "on",
    trouble: null,
    alone: isOwnEpoch(at),
    room: answer.room,
    you: answer.you,
    at,
    messages: merged(kept, page),
    // A node of an earlier version does not say whether there are older ones.
    more: kept.length === 0 ? (answer.more ?? page.length > 0) : before.more,
    drafts: before.drafts.filter(({ content }) => !page.slice(-20).some((one) => one.user.id === answer.you.id && one.content === content)),
    rules: { locked: rules.locked, slow_mode_s: rules.slow_mode_s, teacher_only: rules.teacher_only },
    muted,
    mutedUntil: muted_until ?? null,
    mutedUsers: muted_users ?? [],
    removedUsers: removed_users ?? [],
    hands,
    poll,
    answer: answerOf(before, poll),
    questions,
    supported: new Set([...before.supported, ...questions.filter(({ supported }) => supported).map(({ id }) => id)]),
    unread: before.at === null ? before.unread : { ...before.unread, chat: before.unread.chat + (isReading(before) ? 0 : missed) },
  });
}

function answerOf(state: ChatState, poll: Poll | null): ChatState["answer"] {
  if (poll && typeof poll.mine === "number") return { id: poll.id, index: poll.mine };
  return state.answer?.id === poll?.id ? state.answer : null;
}

function onMessage(state: ChatState, message: Message): ChatState {
  const moved = advanced(state, message.offset);
  if (state.deleted.has(message.id)) return moved;
  const messages = inserted(state.messages, message);
  if (messages === state.messages) return moved;
  const own = message.user.id === state.you?.id;
  const draft = own ? state.drafts.find(({ content, failed }) => failed === null && content === message.content) : undefined;
  return bounded({
    ...moved,
    messages,
    drafts: draft ? state.drafts.filter((one) => one !== draft) : state.drafts,
    typing: state.typing.filter(({ id }) => id !== message.user.id),
    unread: own || isReading(state) ? state.unread : { ...state.unread, chat: state.unread.chat + 1 },
  });
}

function onHistory(state: ChatState, page: readonly Message[], more: boolean, older: boolean): ChatState {
  const messages = merged(state.messages, page.filter(({ id }) => !state.deleted.has(id)));
  return bounded({ ...state, messages, more: older ? more : state.more });
}

/** The message stands in the list at once; when it comes over the bus too, it is known by its id. */
function onSent(state: ChatState, { clientId, id, offset, at }: Extract<PageEvent, { type: "sent" }>): ChatState {
  const draft = state.drafts.find((one) => one.clientId === clientId);
  const drafts = state.drafts.filter((one) => one !== draft);
  const slow = state.you?.role === "student" ? state.rules.slow_mode_s * 1000 : 0;
  const waitUntil = slow > 0 ? Math.max(state.waitUntil, at + slow) : state.waitUntil;
  if (!draft || !state.you || !state.room || state.deleted.has(id)) return { ...state, drafts, waitUntil };
  const message: Message = { id, room: state.room, offset, user: state.you, content: draft.content, type: "text", at };
  return bounded({ ...state, drafts, waitUntil, messages: inserted(state.messages, message) });
}

function onUnsent(state: ChatState, clientId: string, error: ChatError, now: number): ChatState {
  const drafts = state.drafts.map((one) => (one.clientId === clientId ? { ...one, failed: error } : one));
  const waitMs = (error.retry_after_s ?? 0) * 1000;
  return { ...state, drafts, waitUntil: waitMs > 0 ? Math.max(state.waitUntil, now + waitMs) : state.waitUntil };
}

/** Someone sees the newest messages. */
function isReading({ tab, atEnd, unseen }: ChatState): boolean {
  return tab === "chat" && atEnd && !unseen;
}

function look(state: ChatState, tab: Tab, visible: boolean): ChatState {
  const seen = { ...state, tab, unseen: !visible };
  if (!visible) return seen;
  const unread = { chat: tab === "chat" && state.atEnd ? 0 : state.unread.chat, ask: tab === "ask" ? 0 : state.unread.ask };
  return { ...seen, unread };
}

function bounded(state: ChatState): ChatState {
  const most = state.atEnd ? MOST_KEPT : MOST_READ_BACK;
  const unread = isReading(state) && state.unread.chat > 0 ? { ...state.unread, chat: 0 } : state.unread;
  if (state.messages.length <= most) return unread === state.unread ? state : { ...state, unread };
  return { ...state, unread, messages: state.messages.slice(-most), more: true };
}

function withItem<T>(set: ReadonlySet<T>, item: T, there: boolean): ReadonlySet<T> {
  if (set.has(item) === there) return set;
  const next = new Set(set);
  if (there) next.add(item);
  else next.delete(item);
  return next;
}
