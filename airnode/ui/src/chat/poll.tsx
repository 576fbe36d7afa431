import { useState } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { useSelected } from "../lib/hooks.ts";
import { Icon } from "../parts/icons.tsx";
import { explainChat } from "./problem.ts";
import { PollResult } from "./poll_result.tsx";
import type { ChatRoom } from "./room.ts";

/** The poll that runs, or the last one's result until it is put away. */
export function PollCard({ chat }: { chat: ChatRoom }) {
  const poll = useSelected(chat.view, (state) => state.poll);
  const answer = useSelected(chat.view, (state) => state.answer);
  const teacher = useSelected(chat.view, (state) => state.you?.role === "teacher");
  const [hidden, setHidden] = useState<string | null>(null);
  const [error, setError] = useState("");
  if (!poll || (hidden === poll.id && !poll.open)) return null;
  const mine = answer?.id === poll.id ? answer.index : null;
  const choosing = poll.open && mine === null && !teacher;
  const choose = async (index: number) => {
    const ack = await chat.answer(poll.id, index);
    setError(ack.ok ? "" : explainChat(ack.error));
  };
  const close = async () => {
    const ack = await chat.request("poll", { close: poll.id });
    setError(ack.ok ? "" : explainChat(ack.error));
  };
  return (
    <section class="poll" aria-label={t("poll.title")}>
      <p class="poll-head">
        <span class={poll.open ? "pill live" : "pill"}>{t(poll.open ? "poll.title" : "poll.closed")}</span>
        <span class="quiet numbers">{t("poll.answered", { count: poll.answered })}</span>
        <span class="grow" />
        {!poll.open && (
          <button type="button" class="icon-button" aria-label={t("poll.hide")} title={t("poll.hide")} onClick={() => setHidden(poll.id)}>
            <Icon name="close" size={18} />
          </button>
        )}
      </p>
      <h2 class="poll-question" dir="auto">{poll.question}</h2>
      {choosing ? (
        <div class="poll-options" role="group" aria-label={t("poll.choose")}>
          {poll.options.map(({ text }, index) => (
            <button key={index} type="button" class="button poll-option" onClick={() => void choose(index)}>
              <bdi>{text}</bdi>
            </button>
          ))}
          <p class="hint">{t("poll.choose")}</p>
        </div>
      ) : (
        <PollResult options={poll.options} mine={mine} />
      )}
      {error && (
        <p class="hint error" role="alert">
          {error}
        </p>
      )}
      {teacher && poll.open && (
        <button type="button" class="button" onClick={close}>
          {t("poll.close")}
        </button>
      )}
    </section>
  );
}
