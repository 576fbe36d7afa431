/**
 * Everything a page knows of a room's chat, and {@link reduce}, which makes the next state of it from an event.
 *
 * No clock, no socket, no page: `test/chat_state.test.ts` runs random sequences through it. What holds at all times:
 * messages are in the order of their offsets, each is there once, deleted ones never come back, and there are at most
 * {@link MOST_KEPT} of them while the reader is at the end.
 */
import type { ChatError, Hand, Message, Poll, Question, RoomRules, User } from "./events.ts";
import type { Offset } from "./offsets.ts";

/** So many messages are kept: a list of a few hundred rows stays fast on a slow phone. */
export const MOST_KEPT = 400;
/** So many while somebody reads back. */
export const MOST_READ_BACK = 2_000;
/** So many deleted ids are remembered, for messages that come late. */
export const MOST_REMEMBERED = 1_000;

/** `away`: the connection is lost and comes back by itself. `refused`: the server does not let us in; `trouble` says why. */
export type ChatLink = "off" | "connecting" | "on" | "away" | "removed" | "refused";

export const TABS = ["chat", "ask", "people", "info"] as const;
export type Tab = (typeof TABS)[number];

/** An own message that the server has not confirmed yet. */
export interface Draft {
  clientId: string;
  content: string;
  at: number;
  failed: ChatError | null;
}

export interface ReactionBurst {
  /** Counts up, so that each burst is shown once. */
  serial: number;
  counts: Record<string, number>;
}

export interface ChatState {
  link: ChatLink;
  /** Why the last try to connect failed. */
  trouble: ChatError | null;
  /** The chat runs on one server only: messages of people on others come later. */
  alone: boolean;
  room: string | null;
  you: User | null;
  /** The newest fact of the room that we have. */
  at: Offset | null;
  messages: readonly Message[];
  /** There may be older messages on the server. */
  more: boolean;
  /** The reader is at the end; else more is kept. */
  atEnd: boolean;
  drafts: readonly Draft[];
  deleted: ReadonlySet<string>;
  rules: RoomRules;
  muted: boolean;
  mutedUntil: number | null;
  /** For teachers. */
  mutedUsers: readonly User[];
  removedUsers: readonly User[];
  hands: readonly Hand[];
  poll: Poll | null;
  /** The own answer of a poll: its id and the index. */
  answer: { id: string; index: number } | null;
  questions: readonly Question[];
  supported: ReadonlySet<string>;
  members: { count: number; users: readonly User[] | null };
  typing: readonly User[];
  burst: ReactionBurst;
  /** Not before then may the next message be sent (unix ms by the server's clock). */
  waitUntil: number;
  tab: Tab;
  /** The page or the column is not in sight. */
  unseen: boolean;
  /** New since the tab was last open. */
  unread: { chat: number; ask: number };
}

export const NO_RULES: RoomRules = { locked: false, slow_mode_s: 0, teacher_only: false };

export const OUTSIDE: ChatState = {
  link: "off",
  trouble: null,
  alone: false,
  room: null,
  you: null,
  at: null,
  messages: [],
  more: false,
  atEnd: true,
  drafts: [],
  deleted: new Set(),
  rules: NO_RULES,
  muted: false,
  mutedUntil: null,
  mutedUsers: [],
  removedUsers: [],
  hands: [],
  poll: null,
  answer: null,
  questions: [],
  supported: new Set(),
  members: { count: 0, users: null },
  typing: [],
  burst: { serial: 0, counts: {} },
  waitUntil: 0,
  tab: "chat",
  unseen: false,
  unread: { chat: 0, ask: 0 },
};
