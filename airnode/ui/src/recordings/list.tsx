import type { ComponentChildren } from "preact";
import type { Recording } from "../api/types.ts";
import { explain } from "../i18n/problem.ts";
import { language, t, type Key } from "../i18n/index.ts";
import { ago, bytes, clockFormat, dayAndTime } from "../lib/format.ts";
import { useNow, useStore } from "../lib/hooks.ts";
import { Icon } from "../parts/icons.tsx";
import type { Shelf } from "./shelf.ts";

interface ListProps {
  shelf: Shelf;
  /** The one that is being watched. */
  chosen?: string | null;
  /** Actions of one recording: `first` stands before the download, `last` after it. */
  first: (recording: Recording) => ComponentChildren;
  last?: (recording: Recording) => ComponentChildren;
}

/** A class's recordings, the newest first. */
export function RecordingList({ shelf, chosen = null, first, last }: ListProps) {
  const { recordings, recording, trouble } = useStore(shelf.view);
  if (recordings === null) return <p class="quiet">{trouble ? explain(trouble) : t("recordings.loading")}</p>;
  if (recordings.length === 0) return <p class="quiet">{t(recording ? "recordings.soon" : "recordings.none")}</p>;
  return (
    <ul class="recording-list">
      {recordings.map((each) => (
        <Row key={each.recording_id} recording={each} shelf={shelf} chosen={each.recording_id === chosen} first={first(each)} last={last?.(each)} />
      ))}
    </ul>
  );
}

/** Return the word for a recording that is not simply there. The list has the end of one a moment after the room. */
function stateOf(status: Recording["status"], shelf: Shelf): Key | null {
  return status === "recording" && !shelf.view.value.recording ? "recordings.closing" : (STATE[status] ?? null);
}

const STATE: Partial<Record<Recording["status"], Key>> = {
  recording: "recordings.recording",
  interrupted: "recordings.interrupted",
};

interface RowProps {
  recording: Recording;
  shelf: Shelf;
  chosen: boolean;
  first: ComponentChildren;
  last: ComponentChildren;
}

function Row({ recording, shelf, chosen, first, last }: RowProps) {
  const { started_at, status, available, size_bytes, download_url, recording_id } = recording;
  const now = useNow(status === "recording" ? 1_000 : 60_000) / 1000;
  const state = stateOf(status, shelf);
  const kind = [available ? "" : "away", chosen ? "chosen" : ""].join(" ");
  return (
    <li class={`recording-row ${kind}`} data-recording={recording_id} aria-current={chosen || undefined}>
      <p class="recording-when">
        <strong>{dayAndTime(started_at, language.value)}</strong>
        <span class="quiet">{ago(started_at, now, language.value, t("time.just_now"))}</span>
      </p>
      <p class="recording-facts quiet numbers">
        <span>{clockFormat(lengthS(recording, now, shelf.grows))}</span>
        <span>{bytes(size_bytes)}</span>
        {state && <span class={`pill ${state === "recordings.closing" ? "" : status}`}>{t(state)}</span>}
      </p>
      {!available && <p class="hint">{t("recordings.away")}</p>}
      {status === "interrupted" && available && <p class="hint">{t("recordings.interrupted_why")}</p>}
      <p class="row">
        {first}
        {available && download_url !== null && status !== "recording" && (
          <a class="button quiet" href={shelf.address(download_url)} download>
            <Icon name="download" size={18} />
            {t("recordings.download")}
          </a>
        )}
        {last}
      </p>
    </li>
  );
}

/** Return the length by the index, plus the time that has passed since while it grows. */
function lengthS({ started_at, duration_s, status }: Recording, nowS: number, grows: boolean): number {
  return status === "recording" && grows ? Math.max(duration_s, nowS - started_at) : duration_s;
}
