import type { AskNews, HandNews, Message, ModerationNews, Poll, PresenceNews, User } from "./events.ts";
import { offsetOf, offsetText } from "./offsets.ts";
import type { ServerEvent } from "./reduce.ts";

/** Return what an event of the server means for this room; null: nothing, or nothing that we can read. */
export function incoming(name: string, args: readonly unknown[], room: string): ServerEvent | null {
  const body = args[0];
  if (typeof body !== "object" || body === null || !aboutRoom(body, room)) return null;
  const last = args[args.length - 1];
  const offset = typeof last === "string" ? last : undefined;
  switch (name) {
    case "message":
      return { type: "message", message: messageOf(body as SentMessage, offset) };
    case "hand":
      return { type: "hand", news: body as HandNews, offset };
    case "poll":
      return "poll" in body && body.poll ? { type: "poll", poll: body.poll as Poll, offset } : null;
    case "ask":
      return { type: "ask", news: body as AskNews, offset };
    case "moderation":
      return { type: "moderation", news: body as ModerationNews, offset };
    case "presence":
      return { type: "presence", news: body as PresenceNews };
    case "typing":
      return { type: "typing", users: (body as { users?: User[] }).users ?? [] };
    case "reaction":
      return { type: "reaction", counts: (body as { counts?: Record<string, number> }).counts ?? {} };
    case "removed":
      return { type: "removed" };
    default:
      return null;
  }
}

function aboutRoom(body: object, room: string): boolean {
  return !("room" in body) || body.room === room;
}

/** A message as the server sends it: its position in the log is an epoch and a number. */
export type SentMessage = Omit<Message, "offset"> & { epoch?: string; offset: number | string };

/** Return a message with its whole offset, which may also stand behind it. */
export function messageOf(message: SentMessage, offset?: string): Message {
  const { epoch, ...rest } = message;
  return { ...rest, offset: offset ?? offsetText(offsetOf(epoch ?? "", message.offset)) };
}
