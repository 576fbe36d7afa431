import { useState } from "preact/hooks";
import { language, t } from "../i18n/index.ts";
import { timeOfDay } from "../lib/format.ts";
import { useSelected } from "../lib/hooks.ts";
import { Icon } from "../parts/icons.tsx";
import type { Question } from "./events.ts";
import { GrowingField } from "./field.tsx";
import { Text } from "./message.tsx";
import { Name } from "./name.tsx";
import { explainChat } from "./problem.ts";
import type { ChatRoom } from "./room.ts";

/** Questions to the teacher: those that most people want answered stand first. */
export function Questions({ chat }: { chat: ChatRoom }) {
  const questions = useSelected(chat.view, (state) => state.questions);
  const teacher = useSelected(chat.view, (state) => state.you?.role === "teacher");
  const [error, setError] = useState("");
  const open = questions.filter(({ answered }) => !answered).sort((a, b) => b.supporters - a.supporters || a.at - b.at);
  const done = questions.filter(({ answered }) => answered).sort((a, b) => b.at - a.at);
  return (
    <>
      <div class="scroll" tabIndex={0} role="region" aria-label={t("room.ask")}>
        {questions.length === 0 && (
          <div class="empty quiet">
            <p>{t("ask.empty")}</p>
            {!teacher && <p>{t("ask.empty_hint")}</p>}
          </div>
        )}
        <ul class="questions">
          {open.map((question) => (
            <QuestionRow key={question.id} chat={chat} question={question} onError={setError} />
          ))}
        </ul>
        {done.length > 0 && (
          <details class="done">
            <summary>
              {t("ask.done")} <span class="numbers">{done.length}</span>
            </summary>
            <ul class="questions">
              {done.map((question) => (
                <QuestionRow key={question.id} chat={chat} question={question} onError={setError} />
              ))}
            </ul>
          </details>
        )}
      </div>
      {error && (
        <p class="hint error pad" role="alert">
          {error}
        </p>
      )}
      {!teacher && <AskForm chat={chat} onError={setError} />}
    </>
  );
}

function QuestionRow({ chat, question, onError }: { chat: ChatRoom; question: Question; onError: (text: string) => void }) {
  const you = useSelected(chat.view, (state) => state.you);
  const supported = useSelected(chat.view, (state) => state.supported.has(question.id));
  const own = question.user.id === you?.id;
  const teacher = you?.role === "teacher";
  const ask = async (body: object) => {
    const ack = await chat.request("ask", body);
    onError(ack.ok ? "" : explainChat(ack.error));
  };
  const support = async () => {
    const ack = await chat.support(question.id, !supported);
    onError(ack.ok ? "" : explainChat(ack.error));
  };
  const count = t("ask.supporters", { count: question.supporters });
  return (
    <li class={question.answered ? "question done" : "question"} data-id={question.id}>
      <p class="message-head">
        <Name user={question.user} own={own} />
        <time class="numbers">{timeOfDay(question.at / 1000, language.value)}</time>
      </p>
      <Text text={question.content} />
      <div class="row">
        {teacher || own || question.answered ? (
          <span class="support numbers" title={count}>
            <Icon name="up" size={16} />
            {question.supporters}
            <span class="visually-hidden">{count}</span>
          </span>
        ) : (
          <button type="button" class={supported ? "button small support on" : "button small support"} aria-pressed={supported} onClick={support}>
            <Icon name="up" size={16} />
            {t(supported ? "ask.supported" : "ask.support")}
            <span class="numbers">{question.supporters}</span>
          </button>
        )}
        <span class="grow" />
        {teacher && !question.answered && (
          <button type="button" class="button small" onClick={() => void ask({ answered: question.id })}>
            <Icon name="check" size={16} />
            {t("ask.answer")}
          </button>
        )}
        {teacher && (
          <button type="button" class="button quiet small" onClick={() => void ask({ delete: question.id })}>
            {t("ask.delete")}
          </button>
        )}
        {own && !teacher && !question.answered && (
          <button type="button" class="button quiet small" onClick={() => void ask({ withdraw: question.id })}>
            {t("ask.withdraw")}
          </button>
        )}
      </div>
    </li>
  );
}

function AskForm({ chat, onError }: { chat: ChatRoom; onError: (text: string) => void }) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const on = useSelected(chat.view, (state) => state.link === "on");
  const send = async () => {
    if (!text.trim() || busy) return;
    setBusy(true);
    const ack = await chat.request("ask", { content: text.trim() });
    setBusy(false);
    onError(ack.ok ? "" : explainChat(ack.error));
    if (ack.ok) setText("");
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <div class="composer-line">
        <GrowingField value={text} label={t("ask.placeholder")} placeholder={t("ask.placeholder")} onInput={setText} onSubmit={() => void send()} />
        <button type="submit" class="send" aria-label={t("ask.send")} title={t("ask.send")} disabled={!on || busy || !text.trim()}>
          <Icon name="send" size={22} />
        </button>
      </div>
    </form>
  );
}
