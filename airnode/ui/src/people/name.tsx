import { useState } from "preact/hooks";
import { Problem } from "../api/client.ts";
import { explain } from "../i18n/problem.ts";
import { t, type Key } from "../i18n/index.ts";
import { Dialog } from "../parts/dialog.tsx";

const MOST_CHARS = 40;

/** Return why a name was refused; an empty text for another problem. */
export function nameTrouble(problem: Problem | null): string {
  return problem?.code === "name_reserved" ? t("name.reserved") : "";
}

interface FieldProps {
  value: string;
  error: string;
  hint?: Key;
  onInput: (text: string) => void;
}

export function NameField({ value, error, hint = "name.hint", onInput }: FieldProps) {
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
        {error || t(hint)}
      </p>
    </>
  );
}

interface OwnNameProps {
  /** As the class sees it; empty: none was given. */
  shown: string;
  /** As it was given last. */
  given: string;
  hint?: Key;
  /** Raises Problem when the server refuses the name. */
  rename: (name: string) => Promise<void>;
}

/** Under which name one writes, with the way to another. */
export function OwnName({ shown, given, hint = "name.hint", rename }: OwnNameProps) {
  const [changing, setChanging] = useState(false);
  return (
    <p class="own-name">
      <bdi>{shown ? t("name.as", { name: shown }) : t("name.none")}</bdi>
      <button type="button" class="text-button" onClick={() => setChanging(true)}>
        {t(shown ? "name.change" : "name.give")}
      </button>
      {changing && <ChangeName given={given} hint={hint} rename={rename} onClose={() => setChanging(false)} />}
    </p>
  );
}

function ChangeName({ given, hint, rename, onClose }: { given: string; hint: Key; rename: (name: string) => Promise<void>; onClose: () => void }) {
  const [name, setName] = useState(given);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const title = t(given ? "name.title" : "name.give");
  const save = async (event: Event) => {
    event.preventDefault();
    if (!name.trim()) return setError(t("name.empty"));
    setBusy(true);
    try {
      await rename(name.trim());
      onClose();
    } catch (problem) {
      setError((problem instanceof Problem && nameTrouble(problem)) || explain(problem));
      setBusy(false);
    }
  };
  return (
    <Dialog label={title} onClose={onClose}>
      <form onSubmit={save} noValidate>
        <h2>{title}</h2>
        <NameField value={name} error={error} hint={hint} onInput={setName} />
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
