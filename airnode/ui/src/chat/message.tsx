import { memo } from "./memo.ts";
import { language, t } from "../i18n/index.ts";
import { timeOfDay } from "../lib/format.ts";
import type { Draft } from "./state.ts";
import type { Message, User } from "./events.ts";
import { MessageMenu } from "./moderation_menu.tsx";
import { Name } from "./name.tsx";
import { explainChat } from "./problem.ts";
import type { ChatRoom } from "./room.ts";
import { pieces } from "./text.ts";

interface RowProps {
  chat: ChatRoom;
  message: Message;
  /** The same person wrote just before: the name is not repeated. */
  follows: boolean;
  own: boolean;
  moderates: boolean;
}

/** One message: text as it was written, links only to http(s). */
export const MessageRow = memo(({ chat, message, follows, own, moderates }: RowProps) => (
  <li class={`message${follows ? " follows" : ""}${own ? " own" : ""}`} data-id={message.id}>
    {!follows && (
      <p class="message-head">
        <Name user={message.user} own={own} />
        <time class="numbers" dateTime={new Date(message.at).toISOString()}>
          {timeOfDay(message.at / 1000, language.value)}
        </time>
      </p>
    )}
    <div class="message-line">
      <Text text={message.content} />
      {moderates && <MessageMenu chat={chat} message={message} own={own} />}
    </div>
  </li>
));

export function Text({ text }: { text: string }) {
  return (
    <p class="text" dir="auto">
      {pieces(text).map(({ text: piece, href }, index) =>
        href === null ? (
          piece
        ) : (
          <a key={index} href={href} target="_blank" rel="noopener noreferrer nofollow">
            {piece}
          </a>
        ),
      )}
    </p>
  );
}

/** An own text on its way, or one that the server refused. */
export function DraftRow({ chat, draft, you, connected }: { chat: ChatRoom; draft: Draft; you: User | null; connected: boolean }) {
  const { failed, content, clientId } = draft;
  return (
    <li class={failed ? "message own failed" : "message own draft"}>
      {you && (
        <p class="message-head">
          <Name user={you} own />
        </p>
      )}
      <Text text={content} />
      {failed ? (
        <div class="row">
          <span class="hint error">{explainChat(failed)}</span>
          <button type="button" class="button quiet small" onClick={() => chat.resend(clientId)}>
            {t("chat.again")}
          </button>
          <button type="button" class="button quiet small" onClick={() => chat.discard(clientId)}>
            {t("chat.discard")}
          </button>
        </div>
      ) : (
        <p class="hint">{t(connected ? "chat.sending" : "chat.waiting")}</p>
      )}
    </li>
  );
}
