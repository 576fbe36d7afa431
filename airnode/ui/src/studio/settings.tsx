import { useState } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { explain } from "../i18n/problem.ts";
import { useStore } from "../lib/hooks.ts";
import type { StudioVisit } from "./visit.ts";

/** What holds for the whole class. */
export function Settings({ visit }: { visit: StudioVisit }) {
  const { grant } = useStore(visit.room.view);
  const { lowestDelay } = useStore(visit.view);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  if (!grant) return null;
  const change = async (wanted: boolean) => {
    setBusy(true);
    setError("");
    await visit.setLowestDelay(wanted).catch((problem: unknown) => setError(explain(problem)));
    setBusy(false);
  };
  return (
    <section class="card">
      <h2>{t("settings.title")}</h2>
      <label class="row">
        <input
          type="checkbox"
          checked={lowestDelay ?? grant.lowest_delay ?? false}
          disabled={busy}
          aria-describedby="lowest-delay-hint"
          onChange={(event) => void change(event.currentTarget.checked)}
        />
        {t("settings.lowest_delay")}
      </label>
      <p id="lowest-delay-hint" class="hint">
        {t("settings.lowest_delay_hint")}
      </p>
      {error && (
        <p class="hint error" role="alert">
          {error}
        </p>
      )}
    </section>
  );
}
