import { Problem } from "../api/client.ts";
import { explain } from "../i18n/problem.ts";
import { t } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import { SecretForm } from "../parts/secretform.tsx";
import type { AdminVisit } from "./visit.ts";

export function SignIn({ visit }: { visit: AdminVisit }) {
  const { refusal } = useStore(visit.view);
  const wrong = refusal instanceof Problem && refusal.refused;
  return (
    <div class="centre">
      <SecretForm
        title={t("admin.sign_in")}
        label={t("admin.secret")}
        hint={t("admin.secret_hint")}
        error={refusal ? (wrong ? t("admin.secret_wrong") : explain(refusal)) : ""}
        refusal={refusal}
        onSecret={(secret) => visit.signIn(secret)}
      />
    </div>
  );
}
