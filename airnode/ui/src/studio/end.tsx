import { useState } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { explain } from "../i18n/problem.ts";
import { useStore } from "../lib/hooks.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Icon } from "../parts/icons.tsx";
import type { StudioVisit } from "./visit.ts";

/** Ends the class for everybody, after a question. `end` raises Problem when the server refuses. */
export function EndClass({ visit, end }: { visit: StudioVisit; end: () => Promise<void> }) {
  const { status } = useStore(visit.room.view);
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const go = async () => {
    setBusy(true);
    setError("");
    try {
      await end();
      setAsking(false);
    } catch (problem) {
      setError(explain(problem));
    }
    setBusy(false);
  };
  return (
    <>
      <button type="button" class="button danger end-class" onClick={() => setAsking(true)}>
        <Icon name="stop" size={18} />
        {t("end.button")}
      </button>
      {asking && (
        <Dialog label={t("end.title")} onClose={() => setAsking(false)}>
          <h2>{t("end.title")}</h2>
          <p>{t("end.text", { count: status?.viewers ?? 0 })}</p>
          {error && (
            <p class="hint error" role="alert">
              {error}
            </p>
          )}
          <div class="actions">
            <button type="button" class="button" onClick={() => setAsking(false)}>
              {t("end.no")}
            </button>
            <button type="button" class="button danger" disabled={busy} onClick={go}>
              {t("end.yes")}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
