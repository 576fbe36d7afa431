import { useState } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import { CopyButton } from "../parts/copy.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Icon } from "../parts/icons.tsx";
import type { StudioVisit } from "./visit.ts";

/** Class code and link, to copy or to show on a projector. */
export function Share({ visit }: { visit: StudioVisit }) {
  const { grant } = useStore(visit.room.view);
  const [large, setLarge] = useState(false);
  const code = grant?.class_code;
  const link = grant?.class_url;
  return (
    <>
      {code && (
        <section class="card share">
          <h2>{t("share.title")}</h2>
          <p class="label">{t("share.code")}</p>
          <p class="code">{code}</p>
          <div class="row">
            <CopyButton text={code} label="share.copy_code" />
            <button type="button" class="button" onClick={() => setLarge(true)}>
              <Icon name="expand" size={18} />
              {t("share.project")}
            </button>
          </div>
          {link && (
            <>
              <p class="label">{t("share.link")}</p>
              <a class="link" href={link} target="_blank" rel="noopener">
                {link}
              </a>
              <CopyButton text={link} label="share.copy_link" />
            </>
          )}
        </section>
      )}
      {large && code && <Projection code={code} link={link ?? location.origin} onClose={() => setLarge(false)} />}
    </>
  );
}

/** Fills the whole window, readable from the last row of the classroom. */
function Projection({ code, link, onClose }: { code: string; link: string; onClose: () => void }) {
  return (
    <Dialog label={t("share.title")} kind="projection" onClose={onClose}>
      <p class="projection-lead">{t("share.project_go")}</p>
      <p class="projection-place">{addressOf(link)}</p>
      <p class="projection-lead">{t("share.project_code")}</p>
      <p class="projection-code">{code}</p>
      <button type="button" class="button large" onClick={onClose}>
        {t("studio.close")}
      </button>
    </Dialog>
  );
}

/** What to type into the address bar. */
function addressOf(link: string): string {
  try {
    return new URL(link).host;
  } catch {
    return location.host;
  }
}
