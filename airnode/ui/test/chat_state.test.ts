/** The chat's reducer, also under random sequences of what a server and a person can do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Joined, Message, User } from "../src/chat/events.ts";
import { parseOffset } from "../src/chat/offsets.ts";
import { reduce, type ChatEvent } from "../src/chat/reduce.ts";
import { MOST_KEPT, MOST_READ_BACK, OUTSIDE, type ChatState } from "../src/chat/state.ts";

const ME: User = { id: "u1", name: "Mina", role: "student" };
const TEACHER: User = { id: "t", name: "Teacher", role: "teacher" };
const OTHER: User = { id: "u2", name: "Jun", role: "student" };

function message(number: number, user: User = OTHER, content = `text ${number}`, epoch = "e1"): Message {
  return { id: `${epoch}-${number}`, room: "main", offset: `${epoch}:${number}`, user, content, type: "text", at: number * 1000 };
}

function joined(messages: Message[], more: Partial<Joined> = {}): ChatEvent {
  const offset = parseOffset(messages[messages.length - 1]?.offset)?.number ?? 0;
  const state = { locked: false, slow_mode_s: 0, teacher_only: false, muted: false, hands: [], poll: null, questions: [] };
  const answer: Joined = { room: "main", epoch: "e1", offset, you: ME, members: { count: 2, users: [ME, OTHER] }, messages, state, ...more };
  return { type: "joined", answer };
}

const run = (events: ChatEvent[], from: ChatState = OUTSIDE) => events.reduce(reduce, from);
const there = run([joined([])]);
const texts = ({ messages }: ChatState) => messages.map(({ content }) => content);
const numbers = ({ messages }: ChatState) => messages.map(({ offset }) => parseOffset(offset)?.number);

test("messages stand in the order of their offsets, each once, however they come", () => {
  const state = run([3, 1, 2, 2, 5, 4, 1].map((number): ChatEvent => ({ type: "message", message: message(number) })), there);
  assert.deepEqual(numbers(state), [1, 2, 3, 4, 5]);
  assert.equal(state.at?.number, 5);
});

test("an own message is shown at once and once, whether the answer or the bus comes first", () => {
  const draft: ChatEvent = { type: "draft", clientId: "c1", content: "hello", at: 1 };
  const sent: ChatEvent = { type: "sent", clientId: "c1", id: "e1-1", offset: "e1:1", at: 1 };
  const heard: ChatEvent = { type: "message", message: message(1, ME, "hello") };
  for (const order of [[sent, heard], [heard, sent]]) {
    const state = run([draft, ...order], there);
    assert.deepEqual([texts(state), state.drafts.length, state.unread.chat], [["hello"], 0, 0]);
  }
});

test("a draft that the server refused stays with the reason, and says when to try again", () => {
  const error = { code: "rate_limited", retry_after_s: 4 };
  const state = run([{ type: "draft", clientId: "c1", content: "hello", at: 1 }, { type: "unsent", clientId: "c1", error, now: 10_000 }], there);
  assert.equal(state.drafts[0]?.failed, error);
  assert.equal(state.waitUntil, 14_000);
});

test("slow mode counts from the own last message, and not for a teacher", () => {
  const slow = { locked: false, slow_mode_s: 10, teacher_only: false };
  const send: ChatEvent[] = [
    { type: "moderation", news: { room: "main", settings: slow } },
    { type: "draft", clientId: "c1", content: "hello", at: 1 },
    { type: "sent", clientId: "c1", id: "e1-1", offset: "e1:1", at: 50_000 },
  ];
  assert.equal(run(send, there).waitUntil, 60_000);
  assert.equal(run(send, run([joined([], { you: TEACHER })])).waitUntil, 0);
});

test("what was missed is added, and a hole in front of it is not kept", () => {
  const before = run([joined([message(1), message(2)])]);
  assert.deepEqual(numbers(run([joined([message(2), message(3)])], before)), [1, 2, 3]);
  const after = run([joined([message(300), message(301)])], before);
  assert.deepEqual([numbers(after), after.more], [[300, 301], true]);
  // A gap that was too large to be filled: its first pages came, and the newest messages too, but not all between.
  const torn = run([{ type: "message", message: message(301) }], before);
  const anew = run([{ ...(joined([message(300), message(301)]) as Extract<ChatEvent, { type: "joined" }>), anew: true }], torn);
  assert.deepEqual([numbers(anew), anew.more], [[300, 301], true]);
});

test("older messages are offered where the server has some", () => {
  assert.equal(run([joined([message(1)], { more: false })]).more, false);
  assert.equal(run([joined([message(8), message(9)], { more: true })]).more, true);
  assert.equal(run([joined([message(1), message(2)], { more: false })], run([joined([message(1)], { more: false })])).more, false);
});

test("a new epoch begins the list anew", () => {
  const before = run([joined([message(7)])]);
  const again = joined([message(1, OTHER, "new", "e2")], { epoch: "e2", offset: 1 });
  assert.deepEqual(texts(run([again], before)), ["new"]);
});

test("a place that one server alone gave says so, until the log goes on", () => {
  const alone = run([{ type: "message", message: message(1, OTHER, "alone", "~n1-7") }], run([joined([message(4)])]));
  assert.deepEqual([alone.alone, alone.at], [true, { epoch: "e1", number: 4 }]);
  assert.equal(run([{ type: "message", message: message(5) }], alone).alone, false);
});

test("a deleted message vanishes and does not come back by history or bus", () => {
  const gone: ChatEvent = { type: "moderation", news: { room: "main", deleted: "e1-2" }, offset: "e1:4" };
  const state = run([
    { type: "message", message: message(1) },
    { type: "message", message: message(2) },
    gone,
    { type: "message", message: message(2) },
    { type: "history", messages: [message(1), message(2)], more: false, older: true },
    joined([message(1), message(2)]),
  ], there);
  assert.deepEqual(numbers(state), [1]);
});

test("unread messages count while the chat is not seen, and never the own ones", () => {
  const news = [1, 2].map((number): ChatEvent => ({ type: "message", message: message(number) }));
  assert.equal(run(news, there).unread.chat, 0);
  const away = run([{ type: "look", tab: "ask", visible: true }, ...news, { type: "message", message: message(3, ME) }], there);
  assert.equal(away.unread.chat, 2);
  assert.equal(run([{ type: "look", tab: "chat", visible: true }], away).unread.chat, 0);
  const hidden = run([{ type: "look", tab: "chat", visible: false }, ...news], there);
  assert.equal(hidden.unread.chat, 2);
  const scrolled = run([{ type: "atEnd", atEnd: false }, ...news], there);
  assert.equal(scrolled.unread.chat, 2);
  assert.equal(run([{ type: "atEnd", atEnd: true }], scrolled).unread.chat, 0);
});

test("hands stand in the order in which they went up", () => {
  const raise = (user: User, at: number): ChatEvent => ({ type: "hand", news: { room: "main", raised: { user, at }, count: 1 } });
  const state = run([raise(OTHER, 2), raise(ME, 1), raise(OTHER, 3)], there);
  assert.deepEqual(state.hands.map(({ user }) => user.id), ["u1", "u2"]);
  assert.deepEqual(run([{ type: "hand", news: { room: "main", lowered: "u1", count: 1 } }], state).hands.length, 1);
  assert.deepEqual(run([{ type: "hand", news: { room: "main", all_lowered: true, count: 0 } }], state).hands, []);
});

test("the own answer belongs to its poll", () => {
  const poll = (id: string, at: number) => ({ id, question: "?", options: [{ text: "a", votes: 0 }], answered: 0, open: true, at });
  const state = run([{ type: "poll", poll: poll("p1", 1) }, { type: "answered", id: "p1", index: 0 }], there);
  assert.deepEqual(state.answer, { id: "p1", index: 0 });
  assert.deepEqual(run([{ type: "poll", poll: poll("p1", 1) }], state).answer, { id: "p1", index: 0 });
  const next = run([{ type: "poll", poll: poll("p2", 2) }], state);
  assert.equal(next.answer, null);
  assert.equal(run([{ type: "poll", poll: poll("p1", 1) }], next).poll?.id, "p2");
});

test("moderation of oneself and of others", () => {
  assert.equal(run([{ type: "moderation", news: { room: "main", muted: { user: ME, until: null } } }], there).muted, true);
  const muted = run([{ type: "moderation", news: { room: "main", muted: { user: OTHER, until: null } } }], there);
  assert.deepEqual([muted.muted, muted.mutedUsers], [false, [OTHER]]);
  assert.equal(run([{ type: "moderation", news: { room: "main", removed: OTHER } }], there).removedUsers[0]?.name, "Jun");
  const removed = run([{ type: "moderation", news: { room: "main", removed: ME } }], there);
  assert.equal(run([{ type: "link", link: "away" }], removed).link, "removed");
});

test("presence follows changes, and keeps only the count in a large room", () => {
  const state = run([{ type: "presence", news: { room: "main", count: 2, joined: [TEACHER], left: ["u2"] } }], there);
  assert.deepEqual(state.members.users?.map(({ id }) => id), ["u1", "t"]);
  const large = run([{ type: "presence", news: { room: "main", count: 250 } }], state);
  assert.deepEqual(large.members, { count: 250, users: null });
  const everybody: ChatEvent = { type: "presence", news: { room: "main", count: 2, joined: [TEACHER, ME], left: ["u2"] } };
  assert.deepEqual(run([everybody], large).members, { count: 2, users: [TEACHER, ME] });
});

/** A generator of numbers that is the same in every run. */
function numbersFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * below);
  };
}

/** A server with one room; what it tells a client may come late, twice, or after a loss of connection. */
class World {
  readonly draw: (below: number) => number;
  readonly log: Message[] = [];
  readonly deleted = new Set<string>();
  readonly late: ChatEvent[] = [];
  number = 0;

  constructor(seed: number) {
    this.draw = numbersFrom(seed);
  }

  page(): Message[] {
    return this.log.filter(({ id }) => !this.deleted.has(id)).slice(-50);
  }

  next(state: ChatState): ChatEvent[] {
    const some = state.messages[this.draw(Math.max(1, state.messages.length))];
    switch (this.draw(12)) {
      case 0:
        return [{ type: "atEnd", atEnd: this.draw(2) === 0 }];
      case 1:
        return [{ type: "look", tab: this.draw(2) ? "chat" : "ask", visible: this.draw(3) > 0 }];
      case 2:
        return [{ type: "link", link: "away" }, joined(this.page(), { offset: this.number })];
      case 3:
        return this.late.splice(0, this.draw(4));
      case 4:
        if (!some) return [];
        this.deleted.add(some.id);
        return [{ type: "moderation", news: { room: "main", deleted: some.id }, offset: `e1:${(this.number += 1)}` }];
      case 5:
        return some ? [{ type: "message", message: some }] : [];
      case 6: {
        const older = this.log.filter((one) => state.messages[0] && one.offset !== state.messages[0].offset && Number(one.offset.slice(3)) < Number(state.messages[0].offset.slice(3)));
        return [{ type: "history", messages: older.slice(-30), more: older.length > 30, older: true }];
      }
      case 7:
        return this.send(ME);
      default:
        return this.send(OTHER);
    }
  }

  send(user: User): ChatEvent[] {
    const made = message((this.number += 1), user);
    this.log.push(made);
    const heard: ChatEvent = { type: "message", message: made };
    if (user === OTHER) {
      if (this.draw(8) > 0) return [heard];
      this.late.push(heard);
      return [];
    }
    const draft: ChatEvent = { type: "draft", clientId: made.id, content: made.content, at: made.at };
    const sent: ChatEvent = { type: "sent", clientId: made.id, id: made.id, offset: made.offset, at: made.at };
    return this.draw(2) ? [draft, heard, sent] : [draft, sent, heard];
  }
}

test("random sequences: ordered, each once, nothing deleted, bounded, and in the end all that the server has", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const world = new World(seed);
    let state = there;
    for (let step = 0; step < 300; step += 1) {
      for (const event of world.next(state)) state = reduce(state, event);
      const order = numbers(state) as number[];
      assert.ok(order.every((each, index) => index === 0 || each > (order[index - 1] as number)), `seed ${seed}: ${order.join()}`);
      assert.ok(state.messages.every(({ id }) => !state.deleted.has(id)), `seed ${seed}: a deleted message`);
      assert.ok(state.messages.length <= (state.atEnd ? MOST_KEPT : MOST_READ_BACK));
      assert.equal(state.drafts.length, 0);
      if (state.tab === "chat" && state.atEnd && !state.unseen) assert.equal(state.unread.chat, 0);
    }
    state = run([...world.late, joined(world.page(), { offset: world.number })], state);
    assert.deepEqual(texts(state).slice(-50), world.page().map(({ content }) => content), `seed ${seed}`);
    assert.equal(state.at?.number, world.number);
  }
});
