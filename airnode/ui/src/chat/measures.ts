import { t } from "../i18n/index.ts";
import { Store } from "../lib/store.ts";
import type { User } from "./events.ts";
import { nameOf } from "./name.tsx";
import { explainChat } from "./problem.ts";
import type { ChatRoom } from "./room.ts";

const MUTE_S = 300;

/** What was done just now, and how to undo it. */
export interface Done {
  text: string;
  undo: (() => void) | null;
  failed: boolean;
}

/** The teacher's measures, each with its undoing where there is one. */
export class Measures {
  readonly done = new Store<Done | null>(null);
  /** Who is to be removed, once the teacher confirms it. */
  readonly doomed = new Store<User | null>(null);
  readonly #chat: ChatRoom;

  constructor(chat: ChatRoom) {
    this.#chat = chat;
  }

  delete(id: string): void {
    void this.#take({ delete: id }, t("mod.deleted"), null);
  }

  mute(user: User, forever: boolean): void {
    const body = forever ? { mute: user.id } : { mute: user.id, for_s: MUTE_S };
    void this.#take(body, t("mod.muted", { name: nameOf(user) }), () => this.unmute(user));
  }

  unmute(user: User): void {
    void this.#take({ unmute: user.id }, t("mod.unmuted", { name: nameOf(user) }), null);
  }

  remove(user: User): void {
    void this.#take({ remove: user.id }, t("mod.removed", { name: nameOf(user) }), () => this.readmit(user));
  }

  readmit(user: User): void {
    void this.#take({ readmit: user.id }, t("mod.readmitted", { name: nameOf(user) }), null);
  }

  rule(body: { locked: boolean } | { slow_mode_s: number } | { teacher_only: boolean }): void {
    void this.#take(body, null, null);
  }

  async #take(body: object, text: string | null, undo: (() => void) | null): Promise<void> {
    const ack = await this.#chat.request("moderation", body);
    if (!ack.ok) this.done.set({ text: explainChat(ack.error), undo: null, failed: true });
    else if (text) this.done.set({ text, undo, failed: false });
  }
}

const made = new WeakMap<ChatRoom, Measures>();

/** Return the measures of a room; there is one of each. */
export function measuresOf(chat: ChatRoom): Measures {
  const known = made.get(chat) ?? new Measures(chat);
  made.set(chat, known);
  return known;
}
