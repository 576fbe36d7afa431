/** The chat of the development server: one room in memory, with socket.io from npm. */
import type { Server as HttpServer } from "node:http";
import { Server, type Socket } from "socket.io";
import type { Ack, Hand, Message, Poll, Question, RoomRules, User } from "../src/chat/events.ts";

const ROOM = "main";
const NAMES = ["김민아", "Jun Park", "이서준", "Olivia Smith", "박하은", "최도윤", "Ethan Lee", "정예린"];
export const PUPILS: User[] = NAMES.map((name, index) => ({ id: `p${index}`, name, role: "student" }));
export const LINES = [
  "안녕하세요!", "Good morning 👋", "소리 잘 들려요", "Can you hear the teacher too?", "네, 화면도 잘 보여요.",
  "오늘 자료는 여기 있어요: https://example.org/physics/lesson-3.pdf", "F = m·a\n그러면 a = F / m 인가요?", "Yes, that is right.",
  "<b>굵게</b> <img src=x onerror=alert(1)>", "질문은 질문 탭에 남겨 주세요.", "A rather long message, as people write them when they explain how they came to their result and want everybody to see each of the steps that lead there.",
  "감사합니다", "👍👍",
];
const NO_RULES: RoomRules = { locked: false, slow_mode_s: 0, teacher_only: false };

type Answer = (ack: Ack) => void;

/** Who holds a token: the dev server's grants say it. */
export const holders = new Map<string, User>();

export class DevChat {
  #io: Server | null = null;
  #number = 0;
  #messages: Message[] = [];
  #hands: Hand[] = [];
  #poll: Poll | null = null;
  #questions: Question[] = [];
  #rules = NO_RULES;
  #muted = new Set<string>();
  readonly removed = new Map<string, User>();
  #members = new Map<string, User>();

  attach(server: HttpServer): void {
    this.#io = new Server(server, { cors: { origin: true }, connectionStateRecovery: {} });
    this.#io.use((socket, next) => {
      const user = holders.get(String((socket.handshake.auth as { token?: string }).token));
      if (!user) return next(Object.assign(new Error("unauthenticated"), { data: { code: "unauthenticated" } }));
      if (this.removed.has(user.id)) return next(Object.assign(new Error("removed"), { data: { code: "removed" } }));
      socket.data = { user };
      next();
    });
    this.#io.on("connection", (socket) => this.#serve(socket));
  }

  /** Cause what is hard to wait for. */
  develop(what: string, value: string): void {
    const bot = (index: number) => PUPILS[index % PUPILS.length] as User;
    if (what === "fill") LINES.forEach((line, index) => this.#say(index === 9 ? { id: "t0", name: "", role: "teacher" } : bot(index), line));
    if (what === "crowd") {
      for (const each of PUPILS) this.#members.set(each.id, each);
      this.#send("presence", { count: this.#members.size, joined: PUPILS });
    }
    if (what === "hands") [2, 5].forEach((index) => this.#hand({ raised: { user: bot(index), at: Date.now() - 60_000 * index } }));
    if (what === "questions") ["관성은 힘인가요?", "Will this be in the exam?", "숙제는 언제까지예요?"].forEach((text, index) => this.#question(bot(index), text, 7 - 3 * index));
    if (what === "poll") this.#openPoll("지금까지 이해됐나요?", ["네, 모두 이해했어요", "조금 어려워요", "처음부터 다시 설명해 주세요"], [12, 7, 2]);
    if (what === "close" && this.#poll) this.#send("poll", { poll: (this.#poll = { ...this.#poll, open: false }) });
    if (what === "rules") this.#send("moderation", { settings: (this.#rules = { ...NO_RULES, ...(JSON.parse(decodeURIComponent(value)) as object) }) });
    if (what === "mute") for (const { id, role } of [...this.#members.values()]) if (role === "student") this.#mute(id);
    if (what === "remove") for (const { id, role } of [...this.#members.values()]) if (role === "student" && !id.startsWith("p")) this.#remove(id);
    if (what === "typing") this.#send("typing", { users: [bot(1), bot(4)] });
    if (what === "react") this.#send("reaction", { counts: { "👍": 14, "👏": 3, "🎉": 1 } });
    if (what === "many") for (let index = 0; index < Number(value); index += 1) this.#say(bot(index), LINES[index % LINES.length] as string);
    if (what === "cut") this.cut();
    if (what === "reset") this.reset();
  }

  /** All connections are lost, as when a node dies. */
  cut(): void {
    for (const { conn } of this.#io?.sockets.sockets.values() ?? []) conn.close();
    this.#members.clear();
  }

  reset(): void {
    [this.#messages, this.#hands, this.#questions, this.#poll, this.#rules] = [[], [], [], null, NO_RULES];
    this.removed.clear();
    this.#muted.clear();
    this.#members.clear();
  }

  #serve(socket: Socket): void {
    const { user } = socket.data as { user: User };
    const on = (name: string, serve: (body: never) => object | null) =>
      socket.on(name, (room: unknown, body: unknown, answer?: Answer) => {
        const reply = [room, body, answer].find((each) => typeof each === "function") as Answer | undefined;
        reply?.({ ok: true, ...serve((typeof body === "function" ? room : body) as never) });
      });
    on("joinRoom", () => this.#join(socket, user));
    on("presence", () => ({ count: this.#members.size, users: [...this.#members.values()] }));
    on("sendMessage", ({ content }: { content: string }) => this.#say(user, content));
    on("history", ({ before }: { before?: string }) => ({ messages: this.#messages.filter(({ offset }) => !before || Number(offset.split(":")[1]) < Number(before.split(":")[1])).slice(-100), more: false }));
    on("reaction", (emoji: string) => this.#send("reaction", { counts: { [emoji]: 1 } }));
    on("token", () => null);
    on("hand", (body: { raised?: boolean; lower?: string; lower_all?: boolean }) => {
      if (body.lower_all) return this.#hand({ all_lowered: true });
      return this.#hand(body.raised ? { raised: { user, at: Date.now() } } : { lowered: body.lower ?? user.id });
    });
    on("poll", (body: { open?: { question: string; options: string[] }; answer?: number; close?: string }) => {
      if (body.open) return this.#openPoll(body.open.question, body.open.options, []);
      if (!this.#poll) return null;
      const options = this.#poll.options.map((one, index) => (index === body.answer ? { ...one, votes: one.votes + 1 } : one));
      this.#poll = { ...this.#poll, options, answered: this.#poll.answered + (body.answer === undefined ? 0 : 1), open: body.close === undefined };
      return this.#send("poll", { poll: this.#poll });
    });
    on("ask", (body: { content?: string; support?: string; withdraw?: string; answered?: string; delete?: string }) => {
      if (body.content) return this.#question(user, body.content, 0);
      const id = body.support ?? body.withdraw ?? body.answered ?? body.delete;
      const found = this.#questions.find((one) => one.id === id);
      if (!found) return null;
      if (body.withdraw || body.delete) {
        this.#questions = this.#questions.filter((one) => one !== found);
        return this.#send("ask", { deleted: id });
      }
      Object.assign(found, body.answered ? { answered: true } : { supporters: found.supporters + 1 });
      return this.#send("ask", { question: { ...found } });
    });
    on("moderation", (body: Record<string, never>) => this.#moderate(body));
    socket.on("disconnect", () => this.#leave(user));
  }

  #join(socket: Socket, user: User): object {
    void socket.join(ROOM);
    this.#members.set(user.id, user);
    this.#send("presence", { count: this.#members.size, joined: [user] });
    const state = { ...this.#rules, muted: this.#muted.has(user.id), hands: this.#hands, poll: this.#poll, questions: this.#questions };
    return { room: ROOM, epoch: "e1", offset: this.#number, you: user, members: { count: this.#members.size, users: [...this.#members.values()] }, messages: this.#messages.slice(-200), more: this.#messages.length > 200, state };
  }

  #leave(user: User): void {
    this.#members.delete(user.id);
    this.#send("presence", { count: this.#members.size, left: [user.id] });
  }

  #say(user: User, content: string): object {
    const at = Date.now();
    const offset = `e1:${(this.#number += 1)}`;
    const message: Message = { id: `m${this.#number}`, room: ROOM, offset, user, content, type: "text", at };
    this.#messages.push(message);
    this.#send("message", message);
    return { id: message.id, epoch: "e1", offset, at };
  }

  #hand(news: { raised?: Hand; lowered?: string; all_lowered?: true }): null {
    const gone = news.lowered ?? news.raised?.user.id;
    this.#hands = news.all_lowered ? [] : [...this.#hands.filter(({ user }) => user.id !== gone), ...(news.raised ? [news.raised] : [])];
    return this.#send("hand", { ...news, count: this.#hands.length });
  }

  #question(user: User, content: string, supporters: number): null {
    const question: Question = { id: `q${(this.#number += 1)}`, user, content, supporters, answered: false, at: Date.now() };
    this.#questions.push(question);
    return this.#send("ask", { question });
  }

  #openPoll(question: string, options: string[], votes: number[]): null {
    const counted = options.map((text, index) => ({ text, votes: votes[index] ?? 0 }));
    this.#poll = { id: `v${(this.#number += 1)}`, question, options: counted, answered: votes.reduce((sum, each) => sum + each, 0), open: true, at: Date.now() };
    return this.#send("poll", { poll: this.#poll });
  }

  #moderate(body: { delete?: string; mute?: string; unmute?: string; remove?: string; readmit?: string } & Partial<RoomRules>): null {
    if (body.delete) {
      this.#messages = this.#messages.filter(({ id }) => id !== body.delete);
      return this.#send("moderation", { deleted: body.delete });
    }
    if (body.remove) return this.#remove(body.remove);
    if (body.readmit) this.removed.delete(body.readmit);
    if (body.mute) return this.#mute(body.mute);
    if (body.unmute || body.readmit) return this.#send("moderation", { ...(body.unmute && { unmuted: body.unmute }), ...(body.readmit && { readmitted: body.readmit }) });
    this.#rules = { ...this.#rules, ...body };
    return this.#send("moderation", { settings: this.#rules });
  }

  #person(id: string): User {
    return this.#members.get(id) ?? { id, name: id, role: "student" };
  }

  #mute(id: string): null {
    return this.#send("moderation", { muted: { user: this.#person(id), until: null } });
  }

  #remove(id: string): null {
    this.removed.set(id, this.#person(id));
    this.#send("moderation", { removed: this.#person(id) });
    for (const socket of this.#io?.sockets.sockets.values() ?? []) if ((socket.data as { user: User }).user.id === id) socket.disconnect(true);
    return null;
  }

  #send(name: string, body: object): null {
    this.#io?.to(ROOM).emit(name, { room: ROOM, ...body }, `e1:${this.#number}`);
    return null;
  }
}
