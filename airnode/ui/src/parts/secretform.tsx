import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { NameField } from "../people/name.tsx";

type Props = {
  title: string;
  label: string;
  hint: string;
  /** Why the last secret was refused, as text; empty: it was not. */
  error: string;
  /** Compared by identity: the field gets the focus again when it changes. */
  refusal: unknown;
  /** The name given last; without it no name is asked. */
  name?: string;
  onSecret: (secret: string, name: string) => void;
};

/** Asks for the secret of a teacher or an administrator. */
export function SecretForm({ title, label, hint, error, refusal, name: given, onSecret }: Props) {
  const [name, setName] = useState(given ?? "");
  const [secret, setSecret] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, [refusal]);
  const submit = (event: Event) => {
    event.preventDefault();
    if (secret.trim()) onSecret(secret.trim(), name.trim());
    else field.current?.focus();
  };
  return (
    <section class="card join">
      <form onSubmit={submit} noValidate>
        <h1>{title}</h1>
        <label class="label" for="secret">
          {label}
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
          {error || hint}
        </p>
        {given !== undefined && <NameField value={name} error="" hint="name.teacher_hint" onInput={setName} />}
        <button type="submit" class="button primary large">
          {t("studio.enter")}
        </button>
      </form>
    </section>
  );
}
