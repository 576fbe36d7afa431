import type { ChatLine, HandRow, QuestionRow } from "../api/types.ts";
import type { ChatRole } from "../chat/events.ts";
import { Text } from "../chat/message.tsx";
import { Name } from "../chat/name.tsx";
import { language, t } from "../i18n/index.ts";
import { timeOfDay } from "../lib/format.ts";
import { raisedHands } from "./hands.ts";
import { MoreButton, useSome } from "./some.tsx";

const SHOWN = 30;

interface Writer {
  at: number;
  user_id: string;
  name: string;
}

function Head({ writer: { at, user_id, name }, role = "student" }: { writer: Writer; role?: ChatRole }) {
  return (
    <p class="message-head">
      <Name user={{ id: user_id, name, role }} />
      <time class="numbers" dateTime={new Date(at * 1000).toISOString()}>
        {timeOfDay(at, language.value)}
      </time>
    </p>
  );
}

/** What was said, the oldest first. The text of a deleted message is gone. */
export function ChatLines({ lines }: { lines: ChatLine[] }) {
  const some = useSome(lines, SHOWN);
  if (lines.length === 0) return <p class="quiet">{t("classrecord.no_chat")}</p>;
  return (
    <>
      <ul class="record-lines">
        {some.shown.map((line) => (
          <li key={line.id}>
            <Head writer={line} role={line.role === "teacher" ? "teacher" : "student"} />
            {line.deleted ? <p class="quiet">{t("classrecord.deleted")}</p> : <Text text={line.content} />}
          </li>
        ))}
      </ul>
      <MoreButton some={some} />
    </>
  );
}

/** Questions, those first that most people wanted to know. */
export function Questions({ rows }: { rows: QuestionRow[] }) {
  const some = useSome([...rows].sort((a, b) => b.supporters - a.supporters || a.at - b.at), SHOWN);
  if (rows.length === 0) return <p class="quiet">{t("classrecord.no_questions")}</p>;
  return (
    <>
      <ul class="record-lines">
        {some.shown.map((row) => (
          <li key={row.id}>
            <Head writer={row} />
            {row.content && <Text text={row.content} />}
            <p class="row marks">
              {row.answered && <span class="pill live">{t("classrecord.answered")}</span>}
              {row.deleted && <span class="pill">{t("classrecord.deleted")}</span>}
              {row.supporters > 0 && <span class="quiet">{t("classrecord.supporters", { count: row.supporters })}</span>}
            </p>
          </li>
        ))}
      </ul>
      <MoreButton some={some} />
    </>
  );
}

/** Who raised a hand, from when to when. */
export function Hands({ rows }: { rows: HandRow[] }) {
  const lang = language.value;
  const some = useSome(raisedHands(rows), SHOWN);
  if (some.shown.length === 0) return <p class="quiet">{t("classrecord.no_hands")}</p>;
  return (
    <>
      <ul class="record-lines hand-lines">
        {some.shown.map(({ userId, name, from, to }) => (
          <li key={`${userId} ${from}`}>
            <bdi class="name">{name || t("people.unnamed")}</bdi>
            <span class="numbers quiet">
              {to === null
                ? t("classrecord.hand_up", { time: timeOfDay(from, lang) })
                : t("classrecord.hand_was_up", { from: timeOfDay(from, lang), to: timeOfDay(to, lang) })}
            </span>
          </li>
        ))}
      </ul>
      <MoreButton some={some} />
    </>
  );
}
