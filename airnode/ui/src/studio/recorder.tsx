import { useState } from "preact/hooks";
import type { Recording, RecordingState } from "../api/types.ts";
import { explain } from "../i18n/problem.ts";
import { language, t, type Key } from "../i18n/index.ts";
import { clockFormat, dayAndTime } from "../lib/format.ts";
import { useStore } from "../lib/hooks.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Icon } from "../parts/icons.tsx";
import { JOIN_AT_ONCE } from "../lib/code.ts";
import { RecordingList } from "../recordings/list.tsx";
import type { StudioVisit } from "./visit.ts";

/** Recording the class, and what was recorded. */
export function Recorder({ visit, live }: { visit: StudioVisit; live: boolean }) {
  const { state, recording } = useStore(visit.shelf.view);
  const { grant } = useStore(visit.room.view);
  const [doomed, setDoomed] = useState<Recording | null>(null);
  const watch = ({ available, recording_id }: Recording) =>
    available &&
    grant?.class_url && (
      <a class="button" href={`${grant.class_url}?recording=${encodeURIComponent(recording_id)}#${JOIN_AT_ONCE}`} target="_blank" rel="noopener">
        <Icon name="play" size={18} />
        {t("recordings.watch")}
      </a>
    );
  const remove = (each: Recording) =>
    (each.status !== "recording" || !each.available) && (
      <button type="button" class="button quiet" onClick={() => setDoomed(each)}>
        <Icon name="trash" size={18} />
        {t("record.delete")}
      </button>
    );
  return (
    <section class="card recorder" aria-labelledby="recorder-title">
      <h2 id="recorder-title">
        {t("record.title")}
        {recording && (
          <span class="pill recording">
            <span class="dot" />
            {t("recordings.mark")}
          </span>
        )}
      </h2>
      {state && <Switch visit={visit} state={state} recording={recording} live={live} />}
      <RecordingList shelf={visit.shelf} first={watch} last={remove} />
      {doomed && <Remove visit={visit} recording={doomed} onClose={() => setDoomed(null)} />}
    </section>
  );
}

interface SwitchProps {
  visit: StudioVisit;
  state: RecordingState;
  recording: boolean;
  live: boolean;
}

function Switch({ visit, state, recording, live }: SwitchProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  if (state.mode === "off") return <p class="quiet">{t("record.off")}</p>;
  const turn = async () => {
    setBusy(true);
    setError("");
    await visit.shelf.record(!recording).catch((problem: unknown) => setError(explain(problem)));
    setBusy(false);
  };
  return (
    <div class="record-switch">
      <p class="quiet" role="status">
        {t(wordsFor(state, recording, live))}
      </p>
      <button type="button" class={recording ? "button" : "button record"} disabled={busy || (!live && !recording)} onClick={turn}>
        <Icon name={recording ? "stop" : "record"} size={18} />
        {t(recording ? "record.stop" : "record.start")}
      </button>
      {error && (
        <p class="hint error" role="alert">
          {error}
        </p>
      )}
    </div>
  );
}

function wordsFor({ mode }: RecordingState, recording: boolean, live: boolean): Key {
  if (recording) return "record.on";
  if (!live) return mode === "all" ? "record.all" : "record.not_live";
  return "record.idle";
}

function Remove({ visit, recording, onClose }: { visit: StudioVisit; recording: Recording; onClose: () => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const place = { when: dayAndTime(recording.started_at, language.value), length: clockFormat(recording.duration_s) };
  const remove = async () => {
    setBusy(true);
    try {
      await visit.shelf.remove(recording);
      onClose();
    } catch (problem) {
      setError(explain(problem));
      setBusy(false);
    }
  };
  return (
    <Dialog label={t("record.delete_title")} onClose={onClose}>
      <h2>{t("record.delete_title")}</h2>
      <p>{t(recording.available ? "record.delete_text" : "record.forget_text", place)}</p>
      {error && (
        <p class="hint error" role="alert">
          {error}
        </p>
      )}
      <div class="actions">
        <button type="button" class="button" onClick={onClose}>
          {t("studio.cancel")}
        </button>
        <button type="button" class="button danger" disabled={busy} onClick={remove}>
          {t("record.delete_yes")}
        </button>
      </div>
    </Dialog>
  );
}
