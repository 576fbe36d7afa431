import type { Grant } from "../api/types.ts";
import { delayMs } from "../lib/backoff.ts";
import { forThisTab } from "../lib/storage.ts";
import { Store } from "../lib/store.ts";
import type { LiveRoom } from "../live/room.ts";
import { chatAddress, Connection } from "./connection.ts";
import type { Ack, ChatError, Joined, Message } from "./events.ts";
import { incoming, messageOf, type SentMessage } from "./incoming.ts";
import { isOwnEpoch, offsetOf, parseOffset } from "./offsets.ts";
import { reduce, type ChatEvent } from "./reduce.ts";
import { OUTSIDE, TABS, type ChatState, type Tab } from "./state.ts";

/** At most so often the page is drawn anew, however many messages come. */
const DRAW_MS = 50;
const TYPING_SHOWN_MS = 5_000;
const BACKOFF = { baseMs: 1_000, capMs: 15_000 };
/** So long after an answer that did not come, a message is sent again. */
const AGAIN_MS = 2_000;
const PAGE = 100;
const TAB = "room.tab";
/** A hole is filled in so many pages at most; a larger one is left to scrolling back. */
const MOST_PAGES = 5;
/** The server says these when the token does not (or no longer) open the room. */
const STALE = new Set(["unauthenticated", "token_expired", "invalid_token", "disconnected"]);

/** One person in one room's chat: a connection to the node of the media session, and what came over it. */
export class ChatRoom {
  /** The tab that was open before a reload of the page; null: the page was not open. */
  readonly lastTab = TABS.find((tab) => tab === forThisTab.get(TAB)) ?? null;
  readonly view = new Store<ChatState>({ ...OUTSIDE, tab: this.lastTab ?? OUTSIDE.tab });
  readonly #live: LiveRoom;
  #state: ChatState = this.view.value;
  #connection: Connection | null = null;
  #grant: Grant | null = null;
  #drawing: ReturnType<typeof setTimeout> | undefined;
  #drawnAtMs = 0;
  #typingOver: ReturnType<typeof setTimeout> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #refusals = 0;
  #serial = 0;

  constructor(live: LiveRoom) {
    this.#live = live;
    live.view.subscribe(() => this.#onGrant(live.view.value.grant));
    this.#onGrant(live.view.value.grant);
  }

  /** Now by the server's clock. */
  now(): number {
    return this.#live.clock.toServerMs(Date.now());
  }

  dispatch(event: ChatEvent): void {
    this.#state = reduce(this.#state, event);
    const waitMs = this.#drawnAtMs + DRAW_MS - performance.now();
    if (waitMs <= 0) this.#draw();
    else this.#drawing ??= setTimeout(() => this.#draw(), waitMs);
  }

  /** Send a text. It stands in the list at once, and is sent again after a lost connection. */
  send(content: string): void {
    const clientId = this.#newId();
    this.dispatch({ type: "draft", clientId, content, at: this.now() });
    void this.#deliver(clientId, content);
  }

  /** Send a text again that the server refused. */
  resend(clientId: string): void {
    const draft = this.#state.drafts.find((one) => one.clientId === clientId);
    if (!draft) return;
    this.dispatch({ type: "discard", clientId });
    this.send(draft.content);
  }

  discard(clientId: string): void {
    this.dispatch({ type: "discard", clientId });
  }

  /** Load older messages. */
  async older(): Promise<void> {
    const first = this.#state.messages.map(({ offset }) => parseOffset(offset)).find((offset) => offset && !isOwnEpoch(offset));
    if (!first) return;
    const answer = await this.#page({ before: first.number });
    if (answer.ok) this.dispatch({ type: "history", messages: answer.messages, more: answer.more, older: true });
  }

  /** Ask the server for something that changes the room: hand, poll, ask, moderation. */
  async request<T = object>(event: "hand" | "poll" | "ask" | "moderation", body: object): Promise<Ack<T>> {
    return this.#ask<T>(event, this.#state.room, body);
  }

  async answer(id: string, index: number): Promise<Ack> {
    const former = this.#state.answer;
    this.dispatch({ type: "answered", id, index });
    const ack = await this.request("poll", { answer: index, id });
    if (!ack.ok && ack.error.code !== "already_answered") this.dispatch({ type: "answered", id, index: former?.id === id ? former.index : null });
    return ack;
  }

  /** Support somebody else's question, or no longer. */
  async support(id: string, on: boolean): Promise<Ack> {
    this.dispatch({ type: "supported", id, on });
    const ack = await this.request("ask", on ? { support: id } : { withdraw: id });
    if (!ack.ok && ack.error.code !== "already_supported") this.dispatch({ type: "supported", id, on: !on });
    return ack;
  }

  react(emoji: string): void {
    this.#connection?.tell("reaction", this.#state.room, emoji);
  }

  typing(on: boolean): void {
    this.#connection?.tell("typing", this.#state.room, on);
  }

  look(tab: Tab, visible: boolean): void {
    forThisTab.set(TAB, tab);
    this.dispatch({ type: "look", tab, visible });
  }

  /** The page came into sight, or went out of it. */
  see(visible: boolean): void {
    this.dispatch({ type: "look", tab: this.#state.tab, visible });
  }

  #draw(): void {
    clearTimeout(this.#drawing);
    this.#drawing = undefined;
    this.#drawnAtMs = performance.now();
    this.view.set(this.#state);
  }

  #onGrant(grant: Grant | null): void {
    const former = this.#grant;
    if (grant?.token === former?.token) return;
    this.#grant = grant;
    if (!grant) {
      this.#close();
      return this.dispatch({ type: "left" });
    }
    if (former && former.room !== grant.room) this.dispatch({ type: "left" });
    const moved = !former || former.room !== grant.room || former.node_id !== grant.node_id;
    if (moved || !this.#connection) this.#open(grant);
    else if (former.name !== grant.name || this.#state.link === "refused") this.#connection.again();
    else void this.#renew(grant);
  }

  async #renew({ token }: Grant): Promise<void> {
    const answer = await this.#ask("token", token);
    if (!answer.ok && answer.error.code !== "offline") this.#connection?.again();
  }

  #open(grant: Grant): void {
    this.#close();
    this.dispatch({ type: "link", link: this.#state.room ? "away" : "connecting" });
    const connection = new Connection({
      up: (recovered) => void this.#onUp(connection, recovered),
      down: () => this.dispatch({ type: "link", link: this.#state.room ? "away" : "connecting" }),
      refused: (error) => this.#onRefused(error),
      heard: (name, args) => this.#onHeard(name, args),
    });
    this.#connection = connection;
    connection.open(chatAddress(grant.hls_url), grant.room, () => ({ token: this.#grant?.token ?? "" })).catch(() => this.#onRefused({ code: "network" }));
  }

  #close(): void {
    clearTimeout(this.#retry);
    this.#connection?.close();
    this.#connection = null;
  }

  async #onUp(connection: Connection, recovered: boolean): Promise<void> {
    const { room: known, link } = this.#state;
    const room = this.#grant?.room ?? "";
    if (recovered && known === room && link !== "removed") {
      this.dispatch({ type: "link", link: "on" });
      await connection.ask<Joined["members"]>("presence", [room], (present) => {
        if (present.ok && connection === this.#connection) this.dispatch({ type: "members", members: { count: present.count, users: present.users ?? null } });
      });
    } else if (!(await this.#join(connection, room))) return;
    this.#refusals = 0;
    for (const { clientId, content, failed } of this.#state.drafts) if (failed === null) void this.#deliver(clientId, content);
  }

  async #join(connection: Connection, room: string, anew = false): Promise<boolean> {
    const { ok } = await connection.ask<Omit<Joined, "messages"> & { messages: SentMessage[] }>("joinRoom", [room], (answer) => {
      if (connection !== this.#connection) return;
      if (answer.ok) this.dispatch({ type: "joined", anew, answer: { ...answer, room, messages: answer.messages.map((each) => messageOf(each)) } });
      else this.#onRefused(answer.error);
    });
    return ok && connection === this.#connection;
  }

  #onRefused(error: ChatError): void {
    if (error.code === "removed") return this.dispatch({ type: "removed" });
    if (this.#state.link === "removed") return;
    this.dispatch({ type: "link", link: "refused", trouble: error });
    clearTimeout(this.#retry);
    const waitMs = delayMs(this.#refusals++, BACKOFF, error.retry_after_s ?? null);
    this.#retry = setTimeout(() => {
      // A new token connects again by itself.
      if (STALE.has(error.code) && this.#refusals > 1) void this.#live.doubt(true);
      this.#connection?.again();
    }, waitMs);
  }

  #onHeard(name: string, args: unknown[]): void {
    const [body] = args;
    // Before the room is joined a gap says why we may not go on where we were; the join does the rest.
    if (name === "gap") return void (this.#state.link === "on" && this.#fill(body as { from: string | number }));
    const event = incoming(name, args, this.#grant?.room ?? "");
    if (!event) return;
    this.dispatch(event);
    if (event.type !== "typing") return;
    clearTimeout(this.#typingOver);
    this.#typingOver = setTimeout(() => this.dispatch({ type: "typing", users: [] }), TYPING_SHOWN_MS);
  }

  /** Messages were left out because we were slow: fetch them, and then how things stand. */
  async #fill({ from }: { from: string | number }): Promise<void> {
    const connection = this.#connection;
    let after = Math.max(0, offsetOf("", from).number - 1);
    let whole = false;
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const answer = await this.#page({ after });
      if (!answer.ok || connection !== this.#connection) break;
      this.dispatch({ type: "history", messages: answer.messages, more: answer.more, older: false });
      const last = answer.messages[answer.messages.length - 1];
      whole = !answer.more || !last;
      if (whole || !last) break;
      after = parseOffset(last.offset)?.number ?? after;
    }
    if (connection?.up && connection === this.#connection) await this.#join(connection, this.#grant?.room ?? "", !whole);
  }

  async #page(where: { before: number } | { after: number }): Promise<Ack<{ messages: Message[]; more: boolean }>> {
    const request = { room: this.#state.room, limit: PAGE, ...where };
    const answer = await this.#ask<{ messages: SentMessage[]; more: boolean }>("history", request);
    return answer.ok ? { ...answer, messages: answer.messages.map((each) => messageOf(each)) } : answer;
  }

  async #deliver(clientId: string, content: string): Promise<void> {
    const answer = await this.#ask<{ id: string; epoch: string; offset: string; at: number }>("sendMessage", this.#state.room, {
      ...{ content, type: "text", client_id: clientId },
    });
    // Without a connection the draft stays and is sent with the next one; the server stores it once, by its client_id.
    if (!answer.ok && answer.error.code === "offline") return;
    if (!answer.ok && answer.error.code === "no_answer") return void setTimeout(() => this.#deliverAgain(clientId), AGAIN_MS);
    if (!answer.ok) return this.dispatch({ type: "unsent", clientId, error: answer.error, now: this.now() });
    const offset = String(answer.offset).includes(":") ? String(answer.offset) : `${answer.epoch}:${answer.offset}`;
    this.dispatch({ type: "sent", clientId, id: answer.id, offset, at: answer.at });
  }

  #deliverAgain(clientId: string): void {
    const draft = this.#state.drafts.find((one) => one.clientId === clientId && one.failed === null);
    if (draft) void this.#deliver(clientId, draft.content);
  }

  async #ask<T>(name: string, ...args: unknown[]): Promise<Ack<T>> {
    return this.#connection ? this.#connection.ask<T>(name, args) : { ok: false, error: { code: "offline" } };
  }

  #newId(): string {
    const bytes = crypto.getRandomValues(new Uint8Array(8));
    return `${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}-${(this.#serial += 1)}`;
  }
}
