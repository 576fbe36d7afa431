import { t, type Key } from "../i18n/index.ts";
import { explain } from "../i18n/problem.ts";
import { Problem } from "../api/client.ts";
import { useStore } from "../lib/hooks.ts";
import { Icon } from "../parts/icons.tsx";
import type { GoLive } from "../publish/golive.ts";
import type { Trouble } from "../publish/messages.ts";

const REFUSED: Record<string, Key> = {
  forbidden: "golive.refused_key",
  unauthenticated: "golive.refused_key",
  not_found: "golive.refused_key",
  conflict: "golive.refused_conflict",
  no_h264: "golive.trouble_h264",
  worker: "golive.trouble_h264",
};
const REMARKS: Record<string, Key> = {
  camera_changed: "golive.remark_camera_changed",
  camera_lost: "golive.remark_camera_lost",
  microphone_changed: "golive.remark_microphone_changed",
  microphone_lost: "golive.remark_microphone_lost",
  screen_failed: "golive.remark_screen",
  sound_not_converted: "golive.remark_sound",
};

/** Return what happened and the next step. */
export function troubleText({ code, detail }: Trouble): string {
  const key = REFUSED[code];
  if (key) return t(key);
  return code === "network" ? explain(new Problem(0, code, detail)) : t("golive.refused_other", { detail: detail || code });
}

/** Why publishing ended. */
export function Refusal({ golive }: { golive: GoLive }) {
  const { phase, trouble } = useStore(golive.view);
  if (phase !== "refused" || !trouble) return null;
  return (
    <p class="note bad" role="alert">
      {troubleText(trouble)}
    </p>
  );
}

/** What the teacher should know while the class goes on. */
export function RemarkNote({ golive }: { golive: GoLive }) {
  const { remark } = useStore(golive.view);
  if (!remark) return null;
  const key = REMARKS[remark.code];
  return (
    <p class="note warn" role="alert">
      {key ? t(key, { label: remark.detail }) : remark.detail}
      <button type="button" class="button plain" aria-label={t("golive.dismiss")} onClick={() => golive.dismissRemark()}>
        <Icon name="close" size={18} />
      </button>
    </p>
  );
}
