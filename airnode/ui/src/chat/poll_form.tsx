import { useState } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { useSelected } from "../lib/hooks.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Icon } from "../parts/icons.tsx";
import { explainChat } from "./problem.ts";
import type { ChatRoom } from "./room.ts";

const MOST_OPTIONS = 8;

/** The teacher's button that asks the class something. */
export function NewPoll({ chat }: { chat: ChatRoom }) {
  const [open, setOpen] = useState(false);
  const on = useSelected(chat.view, (state) => state.link === "on");
  const runs = useSelected(chat.view, (state) => state.poll?.open ?? false);
  return (
    <>
      <button type="button" class="button" disabled={!on || runs} onClick={() => setOpen(true)}>
        <Icon name="poll" size={18} />
        {t("poll.new")}
      </button>
      {open && <PollForm chat={chat} onClose={() => setOpen(false)} />}
    </>
  );
}

function PollForm({ chat, onClose }: { chat: ChatRoom; onClose: () => void }) {
  const [question, setQuestion] = useState("");
  const [options, setOptions] = useState(["", ""]);
  const [error, setError] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    const texts = options.map((text) => text.trim()).filter(Boolean);
    if (!question.trim() || texts.length < 2) return setError(t("poll.incomplete"));
    const ack = await chat.request("poll", { open: { question: question.trim(), options: texts } });
    if (ack.ok) onClose();
    else setError(explainChat(ack.error));
  };
  const change = (index: number, text: string) => setOptions(options.map((each, at) => (at === index ? text : each)));
  return (
    <Dialog label={t("poll.new")} onClose={onClose}>
      <form class="poll-form" onSubmit={submit} noValidate>
        <h2>{t("poll.new")}</h2>
        <label class="label" for="poll-question">
          {t("poll.question")}
        </label>
        <input id="poll-question" class="input" maxLength={300} autocomplete="off" value={question} onInput={(event) => setQuestion(event.currentTarget.value)} />
        {options.map((text, index) => (
          <div key={index} class="poll-row">
            <input
              class="input"
              maxLength={100}
              autocomplete="off"
              aria-label={t("poll.option", { number: index + 1 })}
              placeholder={t("poll.option", { number: index + 1 })}
              value={text}
              onInput={(event) => change(index, event.currentTarget.value)}
            />
            {options.length > 2 && (
              <button type="button" class="icon-button" aria-label={t("poll.remove", { number: index + 1 })} onClick={() => setOptions(options.filter((_, at) => at !== index))}>
                <Icon name="close" size={18} />
              </button>
            )}
          </div>
        ))}
        {options.length < MOST_OPTIONS && (
          <button type="button" class="button quiet" onClick={() => setOptions([...options, ""])}>
            <Icon name="plus" size={18} />
            {t("poll.add")}
          </button>
        )}
        <p class="hint error" role="alert">
          {error}
        </p>
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("studio.cancel")}
          </button>
          <button type="submit" class="button primary">
            {t("poll.open")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
