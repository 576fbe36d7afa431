/**
 * The chat's events, as docs/chat.md describes them. Times (`at`) are unix ms by the server's clock.
 *
 * An offset is the string "<epoch>:<number>": the position of a lasting fact in the room's one sequence.
 */

export type ChatRole = "teacher" | "student";

export interface User {
  id: string;
  name: string;
  role: ChatRole;
}

export interface Message {
  id: string;
  room: string;
  offset: string;
  user: User;
  content: string;
  type: string;
  at: number;
}

export interface Hand {
  user: User;
  at: number;
}

export interface Poll {
  id: string;
  question: string;
  options: { text: string; votes: number }[];
  /** How many people have answered. */
  answered: number;
  open: boolean;
  at: number;
  closed_at?: number | null;
  /** The index of one's own answer, where the server knows it. */
  mine?: number | null;
}

export interface Question {
  id: string;
  user: User;
  content: string;
  supporters: number;
  /** Whether oneself supports it, where the server knows it. */
  supported?: boolean;
  answered: boolean;
  at: number;
}

export interface RoomRules {
  locked: boolean;
  slow_mode_s: number;
  teacher_only: boolean;
}

/** The answer of `joinRoom`: everything that somebody who comes needs to know. */
export interface Joined {
  room: string;
  epoch: string;
  offset: number;
  you: User;
  members: { count: number; users?: User[] | null };
  messages: Message[];
  /** There are older messages. */
  more?: boolean;
  state: RoomRules & {
    /** Oneself; `muted_users` and `removed_users` go to teachers only. */
    muted: boolean;
    muted_until?: number | null;
    muted_users?: User[];
    removed_users?: User[];
    hands: Hand[];
    poll: Poll | null;
    questions: Question[];
  };
}

export interface HandNews {
  room: string;
  raised?: Hand;
  lowered?: string;
  all_lowered?: boolean;
  count: number;
}

export interface AskNews {
  room: string;
  question?: Question;
  deleted?: string;
}

export interface ModerationNews {
  room: string;
  deleted?: string;
  /** `until`: null as long as no teacher ends it. */
  muted?: { user: User; until: number | null };
  /** The ids of those who may write, or come in, again. */
  unmuted?: string;
  readmitted?: string;
  removed?: User;
  settings?: RoomRules;
}

export interface PresenceNews {
  room: string;
  count: number;
  joined?: User[];
  left?: string[];
}

/** What the server says when it refuses something. */
export interface ChatError {
  code: string;
  title?: string;
  detail?: string;
  retry_after_s?: number;
}

export type Ack<T = object> = ({ ok: true } & T) | { ok: false; error: ChatError };
