import { useState } from "preact/hooks";
import { Problem } from "../api/client.ts";
import { explain } from "../i18n/problem.ts";
import { t } from "../i18n/index.ts";
import { ownName } from "../lib/storage.ts";
import { useStore } from "../lib/hooks.ts";
import { Dialog } from "../parts/dialog.tsx";
import type { ClassVisit } from "./visit.ts";

export const MOST_CHARS = 40;

/** Return why a name was refused; an empty text for another problem. */
export function nameTrouble(problem: Problem | null): string {
  return problem?.code === "name_reserved" ? t("name.reserved") : "";
}

export function NameField({ value, error, onInput }: { value: string; error: string; onInput: (text: string) => void }) {
  return (
    <>
      <label class="label" for="name">
        {t("name.label")}
      </label>
      <input
        id="name"
        class="input"
        value={value}
        maxLength={MOST_CHARS}
        autocomplete="nickname"
        spellcheck={false}
        enterkeyhint="go"
        aria-invalid={Boolean(error)}
        aria-describedby="name-hint"
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      <p id="name-hint" class={error ? "hint error" : "hint"} role={error ? "alert" : undefined}>
        {error || t("name.hint")}
      </p>
    </>
  );
}

/** Under which name one writes, with the way to another. */
export function OwnName({ visit }: { visit: ClassVisit }) {
  const { grant } = useStore(visit.room.view);
  const [changing, setChanging] = useState(false);
  if (!grant?.name) return null;
  return (
    <p class="own-name">
      <bdi>{t("name.as", { name: grant.name })}</bdi>
      <button type="button" class="text-button" onClick={() => setChanging(true)}>
        {t("name.change")}
      </button>
      {changing && <ChangeName visit={visit} onClose={() => setChanging(false)} />}
    </p>
  );
}

function ChangeName({ visit, onClose }: { visit: ClassVisit; onClose: () => void }) {
  const [name, setName] = useState(ownName.get());
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const save = async (event: Event) => {
    event.preventDefault();
    if (!name.trim()) return setError(t("name.empty"));
    setBusy(true);
    try {
      await visit.rename(name.trim());
      onClose();
    } catch (problem) {
      setError((problem instanceof Problem && nameTrouble(problem)) || explain(problem));
      setBusy(false);
    }
  };
  return (
    <Dialog label={t("name.title")} onClose={onClose}>
      <form onSubmit={save} noValidate>
        <h2>{t("name.title")}</h2>
        <NameField value={name} error={error} onInput={setName} />
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("studio.cancel")}
          </button>
          <button type="submit" class="button primary" disabled={busy}>
            {t("name.save")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
