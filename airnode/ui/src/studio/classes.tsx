import { useState } from "preact/hooks";
import { explain } from "../i18n/problem.ts";
import { t } from "../i18n/index.ts";
import { shownTitle } from "../i18n/title.ts";
import { useStore } from "../lib/hooks.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Icon } from "../parts/icons.tsx";
import type { StudioVisit } from "./visit.ts";

/** The class that the studio shows; a menu where there are several. */
export function ClassSwitch({ visit }: { visit: StudioVisit }) {
  const { classes } = useStore(visit.view);
  const { grant } = useStore(visit.room.view);
  const [adding, setAdding] = useState(false);
  if (!grant) return null;
  const others = classes?.some(({ room }) => room !== grant.room) ?? false;
  return (
    <>
      {others ? (
        <select
          class="input compact"
          aria-label={t("studio.class")}
          value={grant.room}
          onFocus={() => void visit.refreshClasses()}
          onChange={(event) => visit.choose(event.currentTarget.value)}
        >
          {classes?.map(({ room, title }) => (
            <option key={room} value={room}>
              {shownTitle(title) || room}
            </option>
          ))}
        </select>
      ) : (
        <span class="top-title">{shownTitle(grant.title)}</span>
      )}
      {classes && (
        <button type="button" class="button quiet" onClick={() => setAdding(true)}>
          <Icon name="plus" size={18} />
          <span class="wide-only">{t("studio.new_class")}</span>
          <span class="visually-hidden narrow-only">{t("studio.new_class")}</span>
        </button>
      )}
      {adding && <NewClass visit={visit} onClose={() => setAdding(false)} />}
    </>
  );
}

function NewClass({ visit, onClose }: { visit: StudioVisit; onClose: () => void }) {
  const [title, setTitle] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (!title.trim()) return setError(t("studio.new_class_title_empty"));
    setBusy(true);
    try {
      await visit.addClass(title.trim());
      onClose();
    } catch (problem) {
      setError(explain(problem));
      setBusy(false);
    }
  };
  return (
    <Dialog label={t("studio.new_class")} onClose={onClose}>
      <form onSubmit={submit} noValidate>
        <h2>{t("studio.new_class")}</h2>
        <label class="label" for="class-title">
          {t("studio.new_class_title")}
        </label>
        <input
          id="class-title"
          class="input"
          value={title}
          maxLength={120}
          autocomplete="off"
          onInput={(event) => setTitle(event.currentTarget.value)}
          aria-invalid={Boolean(error)}
          aria-describedby="class-title-error"
        />
        <p id="class-title-error" class="hint error" role="alert">
          {error}
        </p>
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("studio.cancel")}
          </button>
          <button type="submit" class="button primary" disabled={busy}>
            {t("studio.new_class_make")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
