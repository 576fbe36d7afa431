import { useEffect, useRef, useState } from "preact/hooks";
import { explain } from "../i18n/problem.ts";
import { t } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import type { StudioVisit } from "./visit.ts";

export function SignIn({ visit }: { visit: StudioVisit }) {
  const { refusal } = useStore(visit.room.view);
  const [secret, setSecret] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, [refusal]);
  const submit = (event: Event) => {
    event.preventDefault();
    if (secret.trim()) visit.signIn(secret.trim());
    else field.current?.focus();
  };
  const error = refusal && (refusal.refused ? t("studio.secret_wrong") : explain(refusal));
  return (
    <div class="centre">
      <section class="card join">
        <form onSubmit={submit} noValidate>
          <h1>{t("studio.sign_in")}</h1>
          <label class="label" for="secret">
            {t("studio.secret")}
          </label>
          <input
            ref={field}
            id="secret"
            class="input"
            type="password"
            autocomplete="current-password"
            value={secret}
            onInput={(event) => setSecret(event.currentTarget.value)}
            aria-invalid={Boolean(error)}
            aria-describedby="secret-hint"
          />
          <p id="secret-hint" class={error ? "hint error" : "hint"} role={error ? "alert" : undefined}>
            {error || t("studio.secret_hint")}
          </p>
          <button type="submit" class="button primary large">
            {t("studio.enter")}
          </button>
        </form>
      </section>
      <a class="quiet-link" href="/">
        {t("studio.student")}
      </a>
    </div>
  );
}
