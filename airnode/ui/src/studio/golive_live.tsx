import { useState } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { bitrate, resolution, seconds } from "../lib/format.ts";
import { useStore } from "../lib/hooks.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Icon, type IconName } from "../parts/icons.tsx";
import type { GoLive } from "../publish/golive.ts";
import { FULL_BPS } from "../publish/ladder.ts";
import type { Figures } from "../publish/messages.ts";
import { canShareScreen } from "../publish/support.ts";
import { isPublishing } from "../publish/view.ts";
import { EndClass } from "./end.tsx";
import { DeviceChoice, DeviceTroubles, LevelMeter, SelfView } from "./golive_devices.tsx";
import { RemarkNote, troubleText } from "./golive_notes.tsx";
import type { StudioVisit } from "./visit.ts";

/** An uplink that is behind by less than this is good. */
const LATE_MS = 350;

/** While this browser publishes: what goes out, and the switches for it. */
export function GoLiveBar({ visit }: { visit: StudioVisit }) {
  const { golive } = visit;
  const { phase, room, figures } = useStore(golive.view);
  const { grant } = useStore(visit.room.view);
  if (!isPublishing(phase)) return null;
  return (
    <section class={`golive-bar ${phase}`} aria-label={t("golive.controls")} data-golive={phase}>
      <div class="golive-self">
        <SelfView golive={golive} small />
        <LevelMeter golive={golive} small />
      </div>
      <div class="golive-state">
        <Status golive={golive} />
        {grant && room !== grant.room && <p class="note warn">{t("golive.elsewhere", { room })}</p>}
        {figures && phase === "live" && <Outgoing golive={golive} figures={figures} />}
        <DeviceTroubles golive={golive} />
        <RemarkNote golive={golive} />
      </div>
      <Switches visit={visit} golive={golive} />
    </section>
  );
}

function Status({ golive }: { golive: GoLive }) {
  const { phase, muted, hasMicrophone, trouble } = useStore(golive.view);
  const text = phase === "live" ? "golive.live" : phase === "connecting" ? "golive.connecting" : "golive.reconnecting";
  return (
    <div role="status">
      <p class={`golive-phase ${phase}`}>{t(text)}</p>
      {trouble && trouble.code !== "network" && <p class="hint">{troubleText(trouble)}</p>}
      {muted && hasMicrophone && <p class="hint error">{t("golive.muted")}</p>}
    </div>
  );
}

function Outgoing({ golive, figures }: { golive: GoLive; figures: Figures }) {
  const { quality } = useStore(golive.view);
  const { lateMs, allowedBps } = figures;
  const limited = allowedBps < FULL_BPS[quality] * 0.95;
  let uplink = t("golive.uplink_good");
  if (lateMs > LATE_MS) uplink = t("golive.uplink_late", { late: seconds(lateMs) });
  else if (limited) uplink = t("golive.uplink_limited", { rate: bitrate(allowedBps) });
  return (
    <dl class="figures">
      <Figure name={t("golive.out_uplink")} value={uplink} warn={limited || lateMs > LATE_MS} />
      <Figure name={t("golive.out_bitrate")} value={bitrate(figures.bitrateBps)} />
      <Figure name={t("golive.out_size")} value={resolution(figures.width, figures.height)} />
      <Figure name={t("golive.out_rate")} value={t("strip.fps", { value: Math.round(figures.frameRate) })} />
      <Figure name={t("golive.out_dropped")} value={String(figures.dropped)} />
    </dl>
  );
}

function Figure({ name, value, warn = false }: { name: string; value: string; warn?: boolean }) {
  return (
    <div class={warn ? "figure warn" : "figure"}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Switches({ visit, golive }: { visit: StudioVisit; golive: GoLive }) {
  const { muted, camera, screen, inset, hasMicrophone } = useStore(golive.view);
  const [choosing, setChoosing] = useState(false);
  return (
    <div class="golive-switches">
      <Switch
        icon={muted ? "microphone_off" : "microphone"}
        label={t(muted ? "golive.unmute" : "golive.mute")}
        on={muted}
        disabled={!hasMicrophone}
        onPress={() => golive.toggleMuted()}
      />
      <Switch
        icon={camera ? "camera" : "camera_off"}
        label={t(camera ? "golive.camera_off" : "golive.camera_on")}
        on={!camera}
        onPress={() => void golive.toggleCamera()}
      />
      {canShareScreen() && (
        <Switch
          icon="screen"
          label={t(screen ? "golive.unshare" : "golive.share")}
          on={screen !== null}
          onPress={() => void golive.toggleScreen()}
        />
      )}
      {screen && camera && (
        <Switch
          icon="inset"
          label={t(inset ? "golive.inset_off" : "golive.inset_on")}
          on={inset}
          onPress={() => golive.toggleInset()}
        />
      )}
      <button type="button" class="button" onClick={() => setChoosing(true)}>
        <Icon name="renew" size={18} />
        {t("golive.devices")}
      </button>
      <EndClass visit={visit} end={async () => golive.stop()} />
      {choosing && <DeviceDialog golive={golive} onClose={() => setChoosing(false)} />}
    </div>
  );
}

interface SwitchProps {
  icon: IconName;
  label: string;
  on: boolean;
  disabled?: boolean;
  onPress: () => void;
}

function Switch({ icon, label, on, disabled = false, onPress }: SwitchProps) {
  return (
    <button type="button" class={on ? "button pressed" : "button"} disabled={disabled} onClick={onPress}>
      <Icon name={icon} size={18} />
      {label}
    </button>
  );
}

function DeviceDialog({ golive, onClose }: { golive: GoLive; onClose: () => void }) {
  return (
    <Dialog label={t("golive.devices")} onClose={onClose}>
      <h2>{t("golive.devices")}</h2>
      <div class="golive-choices">
        <DeviceChoice golive={golive} />
        <LevelMeter golive={golive} />
      </div>
      <div class="actions">
        <button type="button" class="button" onClick={onClose}>
          {t("studio.close")}
        </button>
      </div>
    </Dialog>
  );
}
