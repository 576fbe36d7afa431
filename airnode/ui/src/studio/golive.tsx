import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { t, type Key } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import { Spinner } from "../live/curtain.tsx";
import { Icon } from "../parts/icons.tsx";
import type { GoLive } from "../publish/golive.ts";
import type { Unsupported } from "../publish/support.ts";
import { isPublishing } from "../publish/view.ts";
import { DeviceChoice, DeviceTroubles, LevelMeter, SelfView } from "./golive_devices.tsx";
import { Refusal } from "./golive_notes.tsx";
import type { StudioVisit } from "./visit.ts";

type Way = "browser" | "encoder";

const UNSUPPORTED: Record<Unsupported, Key> = {
  insecure: "golive.unsupported_insecure",
  browser: "golive.unsupported_browser",
  no_h264: "golive.unsupported_h264",
};

/** Before the class: two ways to go live, from this browser or with an encoder (`children`). */
export function GoLiveWays({ visit, children }: { visit: StudioVisit; children: ComponentChildren }) {
  const [way, setWay] = useState<Way>("browser");
  const choose = (next: Way) => {
    setWay(next);
    if (next === "encoder") visit.golive.leave();
  };
  return (
    <section class="card golive">
      <h2>{t("publish.title")}</h2>
      <div class="segments" role="tablist" aria-label={t("golive.ways")}>
        <WayTab way="browser" chosen={way} onChoose={choose} label={t("golive.from_browser")} />
        <WayTab way="encoder" chosen={way} onChoose={choose} label={t("golive.from_encoder")} />
      </div>
      <div role="tabpanel" id={`way-${way}`} aria-labelledby={`tab-${way}`}>
        {way === "browser" ? <FromBrowser visit={visit} /> : children}
      </div>
    </section>
  );
}

interface WayTabProps {
  way: Way;
  chosen: Way;
  onChoose: (way: Way) => void;
  label: string;
}

function WayTab({ way, chosen, onChoose, label }: WayTabProps) {
  const other = way === "browser" ? "encoder" : "browser";
  return (
    <button
      type="button"
      role="tab"
      id={`tab-${way}`}
      class="segment"
      aria-selected={way === chosen}
      aria-controls={`way-${way}`}
      tabIndex={way === chosen ? 0 : -1}
      onClick={() => onChoose(way)}
      onKeyDown={(event) => {
        if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
        onChoose(other);
        document.getElementById(`tab-${other}`)?.focus();
      }}
    >
      {label}
    </button>
  );
}

function FromBrowser({ visit }: { visit: StudioVisit }) {
  const { golive } = visit;
  const { phase, unsupported } = useStore(golive.view);
  // A person who leaves this way, or the page, does not keep the camera on.
  useEffect(() => () => golive.leave(), [golive]);
  if (unsupported) return <p class="note warn">{t(UNSUPPORTED[unsupported])}</p>;
  if (phase === "idle") {
    return (
      <div class="golive-begin">
        <p class="quiet">{t("golive.lead")}</p>
        <button type="button" class="button primary" onClick={() => void golive.check()}>
          <Icon name="camera" />
          {t("golive.check")}
        </button>
      </div>
    );
  }
  if (phase === "checking" || isPublishing(phase)) {
    return (
      <div class="golive-begin" role="status">
        <Spinner />
        <p>{t(phase === "checking" ? "golive.checking" : "golive.connecting")}</p>
      </div>
    );
  }
  return <Check visit={visit} golive={golive} />;
}

/** The device check: the person sees and hears that everything works, and goes live. */
function Check({ visit, golive }: { visit: StudioVisit; golive: GoLive }) {
  const { grant } = useStore(visit.room.view);
  const { cameraTrouble, microphoneTrouble } = useStore(golive.view);
  return (
    <div class="golive-check">
      <SelfView golive={golive} />
      <div class="golive-choices">
        <DeviceChoice golive={golive} quality />
        <LevelMeter golive={golive} />
        <DeviceTroubles golive={golive} />
        <Refusal golive={golive} />
        <div class="actions">
          <button type="button" class="button plain" onClick={() => golive.leave()}>
            {t("golive.leave")}
          </button>
          {(cameraTrouble || microphoneTrouble) && (
            <button type="button" class="button" onClick={() => void golive.check()}>
              <Icon name="renew" size={18} />
              {t("golive.check")}
            </button>
          )}
          <button type="button" class="button primary" disabled={!grant} onClick={() => grant && void golive.start(grant.room)}>
            <Icon name="antenna" size={18} />
            {t("golive.start")}
          </button>
        </div>
      </div>
    </div>
  );
}
