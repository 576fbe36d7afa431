import { explain } from "../i18n/problem.ts";
import { t } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import { teacherName } from "../lib/storage.ts";
import { SecretForm } from "../parts/secretform.tsx";
import type { StudioVisit } from "./visit.ts";

export function SignIn({ visit }: { visit: StudioVisit }) {
  const { refusal } = useStore(visit.room.view);
  return (
    <div class="centre">
      <SecretForm
        title={t("studio.sign_in")}
        label={t("studio.secret")}
        hint={t("studio.secret_hint")}
        error={refusal ? (refusal.refused ? t("studio.secret_wrong") : explain(refusal)) : ""}
        refusal={refusal}
        name={teacherName.get()}
        onSecret={(secret, name) => visit.signIn(secret, name)}
      />
      <a class="quiet-link" href="/">
        {t("studio.student")}
      </a>
    </div>
  );
}
