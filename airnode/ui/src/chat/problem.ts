import { t, type Key } from "../i18n/index.ts";
import type { ChatError } from "./events.ts";

const KNOWN: Record<string, Key> = {
  offline: "chat_error.offline",
  no_answer: "chat_error.no_answer",
  rate_limited: "chat_error.rate_limited",
  too_many_connections: "chat_error.many_connections",
  slow_mode: "chat_error.rate_limited",
  muted: "chat_error.muted",
  locked: "chat_error.locked",
  teacher_only: "chat_error.teacher_only",
  message_too_long: "chat_error.too_long",
  already_answered: "chat_error.already_answered",
  poll_open: "chat_error.poll_open",
  limit_reached: "chat_error.limit",
  poll_closed: "chat_error.poll_closed",
};

/** Return what went wrong in the page's language. */
export function explainChat({ code, detail, title }: ChatError): string {
  const key = KNOWN[code];
  return key ? t(key) : t("chat_error.other", { detail: detail || title || code });
}
