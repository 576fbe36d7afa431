import { useState } from "preact/hooks";
import type { PublishAddress } from "../api/types.ts";
import { explain } from "../i18n/problem.ts";
import { t } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import { CopyButton } from "../parts/copy.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Icon } from "../parts/icons.tsx";
import { ffmpegCommand, maskedCommand } from "./command.ts";
import type { StudioVisit } from "./visit.ts";

/** Where the encoder sends to, and how to set it up. */
export function Publish({ visit, live }: { visit: StudioVisit; live: boolean }) {
  const address = useAddress(visit);
  if (!address) return null;
  return (
    <div class="publish">
      <Field label={t("publish.server")} value={address.rtmp_server} />
      <KeyField visit={visit} address={address} live={live} />
      {address.srt_url && <SecretField label={t("publish.srt")} value={address.srt_url} secret={address.stream_key} />}
      {address.rtsp_url && <SecretField label={t("publish.rtsp")} value={address.rtsp_url} secret={address.stream_key} />}
      {address.whip_url && <SecretField label={t("publish.whip")} value={address.whip_url} secret={address.stream_key} />}
      <div class="how">
        <section>
          <h3>{t("publish.obs")}</h3>
          <ol>
            <li>{t("publish.obs_1")}</li>
            <li>{t("publish.obs_2")}</li>
            <li>{t("publish.obs_3")}</li>
            <li>{t("publish.obs_4")}</li>
          </ol>
        </section>
        <section>
          <h3>{t("publish.ffmpeg")}</h3>
          <pre class="command" tabIndex={0}>
            {maskedCommand(address)}
          </pre>
          <div class="row">
            <CopyButton text={ffmpegCommand(address.rtmp_url)} />
            <p class="quiet">{t("publish.ffmpeg_note")}</p>
          </div>
        </section>
      </div>
    </div>
  );
}

function useAddress(visit: StudioVisit): PublishAddress | null {
  const { address } = useStore(visit.view);
  const { grant } = useStore(visit.room.view);
  if (address) return address;
  if (!grant?.rtmp_url || !grant.rtmp_server || !grant.stream_key) return null;
  const { rtmp_url, rtmp_server, stream_key, srt_url = "", rtsp_url = "", whip_url = "" } = grant;
  return { rtmp_url, rtmp_server, stream_key, srt_url, rtsp_url, whip_url };
}

function Field({ label, value }: { label: string; value: string }) {
  return (
    <div class="field">
      <span class="label">{label}</span>
      <div class="row">
        <code class="value">{value}</code>
        <CopyButton text={value} />
      </div>
    </div>
  );
}

/** An address that contains the key: it is copied whole and shown without the key. */
function SecretField({ label, value, secret }: { label: string; value: string; secret: string }) {
  return (
    <div class="field">
      <span class="label">{label}</span>
      <div class="row">
        <code class="value">{value.replace(secret, "••••")}</code>
        <CopyButton text={value} />
      </div>
    </div>
  );
}

function KeyField({ visit, address, live }: { visit: StudioVisit; address: PublishAddress; live: boolean }) {
  const [shown, setShown] = useState(false);
  const [asking, setAsking] = useState(false);
  const [renewed, setRenewed] = useState(false);
  return (
    <div class="field">
      <span class="label">{t("publish.key")}</span>
      <div class="row">
        <code class="value" aria-label={shown ? undefined : t("publish.key_hidden")}>
          {shown ? address.stream_key : "••••••••••••••••"}
        </code>
        <button type="button" class="button" aria-pressed={shown} onClick={() => setShown(!shown)}>
          <Icon name="eye" size={18} />
          {t(shown ? "publish.hide" : "publish.show")}
        </button>
        <CopyButton text={address.stream_key} />
        <button type="button" class="button" onClick={() => setAsking(true)}>
          <Icon name="renew" size={18} />
          {t("publish.renew")}
        </button>
      </div>
      <p class="hint" role="status">
        {renewed ? t("publish.renewed") : ""}
      </p>
      {asking && <RenewKey visit={visit} live={live} onClose={() => setAsking(false)} onDone={() => setRenewed(true)} />}
    </div>
  );
}

interface RenewProps {
  visit: StudioVisit;
  live: boolean;
  onClose: () => void;
  onDone: () => void;
}

function RenewKey({ visit, live, onClose, onDone }: RenewProps) {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const renew = async () => {
    setBusy(true);
    try {
      await visit.renewKey();
      onDone();
      onClose();
    } catch (problem) {
      setError(t("studio.failed", { reason: explain(problem) }));
      setBusy(false);
    }
  };
  return (
    <Dialog label={t("publish.renew_title")} onClose={onClose}>
      <h2>{t("publish.renew_title")}</h2>
      <p>{t(live ? "publish.renew_text_live" : "publish.renew_text")}</p>
      {error && (
        <p class="hint error" role="alert">
          {error}
        </p>
      )}
      <div class="actions">
        <button type="button" class="button" autoFocus onClick={onClose}>
          {t("studio.cancel")}
        </button>
        <button type="button" class="button danger" disabled={busy} onClick={renew}>
          {t("publish.renew_yes")}
        </button>
      </div>
    </Dialog>
  );
}
