import { useEffect, useRef, useState } from "preact/hooks";
import { explain } from "../i18n/problem.ts";
import { t } from "../i18n/index.ts";
import { normalizeCode } from "../lib/code.ts";
import { useStore } from "../lib/hooks.ts";
import { ownName } from "../lib/storage.ts";
import { NameField, nameTrouble } from "../people/name.tsx";
import type { ClassVisit } from "./visit.ts";

/** The form to join: a code to type, or one button when the link contains the code; and the person's name. */
export function JoinForm({ visit }: { visit: ClassVisit }) {
  const { code, removed } = useStore(visit.view);
  const { refusal } = useStore(visit.room.view);
  const fromLink = code !== null && (refusal === null || nameTrouble(refusal) !== "");
  const form = () => (fromLink ? <OnePress visit={visit} code={code} /> : <TypeCode visit={visit} />);
  return (
    <div class="centre">
      <section class="card join">{removed ? <RemovedFromClass visit={visit} /> : form()}</section>
      <a class="quiet-link" href="/studio">
        {t("join.teacher")}
      </a>
    </div>
  );
}

/** The person's name as it is typed, and what is wrong with it; `refused`: what the server said. */
function useName(refused: string) {
  const [name, setName] = useState(ownName.get());
  const [empty, setEmpty] = useState(false);
  const given = () => {
    setEmpty(name.trim() === "");
    if (name.trim() === "") document.getElementById("name")?.focus();
    return name.trim() !== "";
  };
  return { name, setName, given, error: empty && name.trim() === "" ? t("name.empty") : refused };
}

function RemovedFromClass({ visit }: { visit: ClassVisit }) {
  const { code } = useStore(visit.view);
  return (
    <div role="alert" data-removed>
      <h1>{t("removed.title")}</h1>
      <p>{t("removed.text")}</p>
      <div class="actions">
        <button type="button" class="button" onClick={() => visit.otherCode()}>
          {t("join.other_code")}
        </button>
        <button type="button" class="button primary" onClick={() => visit.join(code ?? "")}>
          {t("removed.again")}
        </button>
      </div>
    </div>
  );
}

function OnePress({ visit, code }: { visit: ClassVisit; code: string }) {
  const { refusal } = useStore(visit.room.view);
  const { name, error, setName, given } = useName(nameTrouble(refusal));
  const submit = (event: Event) => {
    event.preventDefault();
    if (given()) visit.join(code, name.trim());
  };
  return (
    <form onSubmit={submit} noValidate>
      <h1>{t("join.title_code", { code })}</h1>
      <NameField value={name} error={error} onInput={setName} />
      <button type="submit" class="button primary large" autoFocus>
        {t("join.button")}
      </button>
      <button type="button" class="button plain" onClick={() => visit.otherCode()}>
        {t("join.other_code")}
      </button>
    </form>
  );
}

function TypeCode({ visit }: { visit: ClassVisit }) {
  const { code: tried } = useStore(visit.view);
  const { refusal } = useStore(visit.room.view);
  const [typed, setTyped] = useState(tried ?? "");
  const { name, error: nameError, setName, given } = useName("");
  const [empty, setEmpty] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    field.current?.focus();
    if (refusal) field.current?.select();
  }, [refusal]);
  const refused = refusal && (refusal.refused || refusal.status === 404 ? t("join.wrong_code", { code: tried ?? "" }) : explain(refusal));
  const error = empty ? t("join.code_empty") : refused;
  const submit = (event: Event) => {
    event.preventDefault();
    const code = normalizeCode(typed);
    setEmpty(code === "");
    const named = given();
    if (code === "") field.current?.focus();
    else if (named) visit.join(code, name.trim());
  };
  return (
    <form onSubmit={submit} noValidate>
      <h1>{t("join.title")}</h1>
      <label class="label" for="code">
        {t("join.code")}
      </label>
      <input
        ref={field}
        id="code"
        class="input code-input"
        value={typed}
        onInput={(event) => setTyped(event.currentTarget.value)}
        maxLength={32}
        autocomplete="off"
        autocapitalize="characters"
        autocorrect="off"
        spellcheck={false}
        enterkeyhint="next"
        aria-invalid={Boolean(error)}
        aria-describedby="code-hint"
      />
      <p id="code-hint" class={error ? "hint error" : "hint"} role={error ? "alert" : undefined}>
        {error || t("join.code_hint")}
      </p>
      <NameField value={name} error={nameError} onInput={setName} />
      <button type="submit" class="button primary large">
        {t("join.button")}
      </button>
    </form>
  );
}
