import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api/client.ts";
import { explain } from "../i18n/problem.ts";
import { t } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import type { AdminVisit } from "./visit.ts";

export function SignIn({ visit }: { visit: AdminVisit }) {
  const { refusal } = useStore(visit.view);
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
  const wrong = refusal instanceof Problem && refusal.refused;
  const error = refusal ? (wrong ? t("admin.secret_wrong") : explain(refusal)) : "";
  return (
    <div class="centre">
      <section class="card join">
        <form onSubmit={submit} noValidate>
          <h1>{t("admin.sign_in")}</h1>
          <label class="label" for="secret">
            {t("admin.secret")}
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
            {error || t("admin.secret_hint")}
          </p>
          <button type="submit" class="button primary large">
            {t("studio.enter")}
          </button>
        </form>
      </section>
    </div>
  );
}
