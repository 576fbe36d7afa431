import { useState } from "preact/hooks";
import type { ClassSummary } from "../api/types.ts";
import { explain } from "../i18n/problem.ts";
import { t } from "../i18n/index.ts";
import { shownTitle } from "../i18n/title.ts";
import { usePolled } from "../lib/polled.ts";
import { CopyButton } from "../parts/copy.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Icon } from "../parts/icons.tsx";
import type { StudioVisit } from "./visit.ts";

interface TitleProps {
  heading: string;
  title: string;
  act: string;
  /** Raises Problem when the server refuses. */
  save: (title: string) => Promise<void>;
  onClose: () => void;
}

/** Asks for the title of a class, of a new one or of one that is renamed. */
export function TitleDialog({ heading, title: former, act, save, onClose }: TitleProps) {
  const [title, setTitle] = useState(former);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (!title.trim()) return setError(t("studio.new_class_title_empty"));
    setBusy(true);
    try {
      await save(title.trim());
      onClose();
    } catch (problem) {
      setError(explain(problem));
      setBusy(false);
    }
  };
  return (
    <Dialog label={heading} onClose={onClose}>
      <form onSubmit={submit} noValidate>
        <h2>{heading}</h2>
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
            {act}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

const NEVER_MS = 2 ** 31 - 1;

/** The two keys of a class: what an encoder publishes with, and what opens the studio of this class alone. */
export function KeysDialog({ visit, one, onClose }: { visit: StudioVisit; one: ClassSummary; onClose: () => void }) {
  const heading = t("classes.keys_of", { title: shownTitle(one.title) });
  return (
    <Dialog label={heading} kind="keys" onClose={onClose}>
      <h2>{heading}</h2>
      <StreamKey visit={visit} room={one.room} />
      <TeacherKey visit={visit} one={one} />
      <div class="actions">
        <button type="button" class="button" onClick={onClose}>
          {t("studio.close")}
        </button>
      </div>
    </Dialog>
  );
}

function StreamKey({ visit, room }: { visit: StudioVisit; room: string }) {
  const [shown, setShown] = useState(false);
  const { value, error } = usePolled(NEVER_MS, room, () => visit.addressOf(room));
  return (
    <div class="field">
      <span class="label">{t("publish.key")}</span>
      {error !== null && <p class="hint error">{explain(error)}</p>}
      {value && (
        <div class="row">
          <code class="value" aria-label={shown ? undefined : t("publish.key_hidden")}>
            {shown ? value.stream_key : "••••••••••••••••"}
          </code>
          <button type="button" class="button" aria-pressed={shown} onClick={() => setShown(!shown)}>
            <Icon name="eye" size={18} />
            {t(shown ? "publish.hide" : "publish.show")}
          </button>
          <CopyButton text={value.stream_key} />
        </div>
      )}
    </div>
  );
}

/** Made, shown once, replaced or removed. */
function TeacherKey({ visit, one }: { visit: StudioVisit; one: ClassSummary }) {
  const [made, setMade] = useState("");
  const [there, setThere] = useState(one.has_teacher_key);
  const [said, setSaid] = useState("");
  const [error, setError] = useState("");
  const run = async (act: () => Promise<void>) => {
    setError("");
    setSaid("");
    await act().catch((problem: unknown) => setError(explain(problem)));
  };
  const make = () =>
    run(async () => {
      setMade(await visit.makeTeacherKey(one.room));
      setThere(true);
    });
  const remove = () =>
    run(async () => {
      await visit.removeTeacherKey(one.room);
      setMade("");
      setThere(false);
      setSaid(t("teacher_key.removed"));
    });
  return (
    <div class="field teacher-key">
      <span class="label">{t("teacher_key.title")}</span>
      <p class="hint">{t("teacher_key.text")}</p>
      {made && (
        <>
          <div class="row">
            <code class="value">{made}</code>
            <CopyButton text={made} />
            <CopyButton text={`${location.origin}/studio#secret=${made}`} label="teacher_key.link" />
          </div>
          <p class="hint">{t("teacher_key.once")}</p>
        </>
      )}
      {there && !made && <p class="hint">{t("teacher_key.there")}</p>}
      <div class="row">
        <button type="button" class="button" onClick={() => void make()}>
          <Icon name={there ? "renew" : "plus"} size={18} />
          {t(there ? "teacher_key.renew" : "teacher_key.make")}
        </button>
        {there && (
          <button type="button" class="button" onClick={() => void remove()}>
            <Icon name="trash" size={18} />
            {t("teacher_key.remove")}
          </button>
        )}
      </div>
      <p class="hint" role="status">
        {said}
      </p>
      {error && (
        <p class="hint error" role="alert">
          {error}
        </p>
      )}
    </div>
  );
}
