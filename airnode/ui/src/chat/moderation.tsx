import { useEffect } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { useSelected, useStore } from "../lib/hooks.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Icon } from "../parts/icons.tsx";
import { measuresOf } from "./measures.ts";
import { nameOf } from "./name.tsx";
import type { ChatRoom } from "./room.ts";

const SHOWN_MS = 8_000;
const SLOW_STEPS_S = [0, 5, 10, 30, 60];

/** The question before a removal, and the note with its undoing. */
export function ModerationNotes({ chat }: { chat: ChatRoom }) {
  const measures = measuresOf(chat);
  const doomed = useStore(measures.doomed);
  const done = useStore(measures.done);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => measures.done.set(null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [done]);
  const close = () => measures.doomed.set(null);
  return (
    <>
      <div class="toast-place" role="status">
        {done && (
          <p class={done.failed ? "toast failed" : "toast"}>
            {done.text}
            {done.undo && (
              <button type="button" class="button quiet small" onClick={done.undo}>
                {t("mod.undo")}
              </button>
            )}
          </p>
        )}
      </div>
      {doomed && (
        <Dialog label={t("mod.remove_title", { name: nameOf(doomed) })} onClose={close}>
          <h2>{t("mod.remove_title", { name: nameOf(doomed) })}</h2>
          <p>{t("mod.remove_text")}</p>
          <div class="actions">
            <button type="button" class="button" onClick={close}>
              {t("studio.cancel")}
            </button>
            <button
              type="button"
              class="button danger"
              onClick={() => {
                measures.remove(doomed);
                close();
              }}
            >
              {t("mod.remove_yes")}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

/** Lock, teacher only, slow mode. */
export function ChatRules({ chat }: { chat: ChatRoom }) {
  const rules = useSelected(chat.view, (state) => state.rules);
  const on = useSelected(chat.view, (state) => state.link === "on");
  const measures = measuresOf(chat);
  const steps = SLOW_STEPS_S.includes(rules.slow_mode_s) ? SLOW_STEPS_S : [...SLOW_STEPS_S, rules.slow_mode_s];
  const active = rules.locked || rules.teacher_only || rules.slow_mode_s > 0;
  return (
    <details class="rules">
      <summary>
        <Icon name={active ? "lock" : "gear"} size={18} />
        {t("mod.rules")}
        {active && <span class="pill reconnecting">{activeWords(rules)}</span>}
      </summary>
      <fieldset disabled={!on}>
        <label class="row">
          <input type="checkbox" checked={rules.locked} onChange={(event) => measures.rule({ locked: event.currentTarget.checked })} />
          {t("mod.lock")}
        </label>
        <label class="row">
          <input type="checkbox" checked={rules.teacher_only} onChange={(event) => measures.rule({ teacher_only: event.currentTarget.checked })} />
          {t("mod.only_me")}
        </label>
        <label class="row">
          {t("mod.slow")}
          <select class="input compact" value={rules.slow_mode_s} onChange={(event) => measures.rule({ slow_mode_s: Number(event.currentTarget.value) })}>
            {steps.map((seconds) => (
              <option key={seconds} value={seconds}>
                {seconds === 0 ? t("mod.slow_off") : t("mod.slow_every", { seconds })}
              </option>
            ))}
          </select>
        </label>
      </fieldset>
    </details>
  );
}

function activeWords({ locked, teacher_only, slow_mode_s }: { locked: boolean; teacher_only: boolean; slow_mode_s: number }): string {
  const words = [locked && t("mod.lock"), teacher_only && t("mod.only_me"), slow_mode_s > 0 && t("mod.slow_every", { seconds: slow_mode_s })];
  return words.filter(Boolean).join(" · ");
}
