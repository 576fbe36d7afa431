import { useEffect, useRef } from "preact/hooks";
import { t, type Key } from "../i18n/index.ts";
import { useStore } from "../lib/hooks.ts";
import { Icon } from "../parts/icons.tsx";
import type { Device, DeviceTrouble } from "../publish/devices.ts";
import type { GoLive } from "../publish/golive.ts";
import { QUALITIES, type Quality } from "../publish/ladder.ts";

const CAMERA: Record<DeviceTrouble, Key> = {
  denied: "golive.camera_denied",
  none: "golive.camera_none",
  busy: "golive.camera_busy",
  failed: "golive.camera_failed",
};
const MICROPHONE: Record<DeviceTrouble, Key> = {
  denied: "golive.microphone_denied",
  none: "golive.microphone_none",
  busy: "golive.microphone_busy",
  failed: "golive.microphone_failed",
};
const QUALITY: Record<Quality, Key> = {
  1080: "golive.quality_1080",
  720: "golive.quality_720",
  480: "golive.quality_480",
};

/** The camera, as a mirror: without delay, before and while it goes out. */
export function SelfView({ golive, small = false }: { golive: GoLive; small?: boolean }) {
  const { camera } = useStore(golive.view);
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current) video.current.srcObject = camera;
  }, [camera]);
  return (
    <div class={small ? "self-view small" : "self-view"}>
      {camera ? (
        <video ref={video} autoplay playsInline muted aria-label={t("golive.preview")} />
      ) : (
        <p class="quiet">
          <Icon name="camera_off" />
          {!small && t("golive.no_picture")}
        </p>
      )}
    </div>
  );
}

/** The microphone's loudness, as often as the screen is drawn. */
export function LevelMeter({ golive, small = false }: { golive: GoLive; small?: boolean }) {
  const bar = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let frame = 0;
    let shown = 0;
    const draw = () => {
      // It falls slowly, so that eyes can follow.
      shown = Math.max(golive.level(), shown * 0.92);
      bar.current?.style.setProperty("--level", shown.toFixed(3));
      frame = requestAnimationFrame(draw);
    };
    frame = requestAnimationFrame(draw);
    const speak = setInterval(() => bar.current?.setAttribute("aria-valuenow", String(Math.round(shown * 100))), 1_000);
    return () => {
      cancelAnimationFrame(frame);
      clearInterval(speak);
    };
  }, [golive]);
  return (
    <div class={small ? "level small" : "level"}>
      {!small && <span class="label">{t("golive.level")}</span>}
      <div ref={bar} class="level-bar" role="meter" aria-label={t("golive.level")} aria-valuemin={0} aria-valuemax={100} aria-valuenow={0} />
      {!small && <p class="hint">{t("golive.level_hint")}</p>}
    </div>
  );
}

/** Choices of camera and microphone, also while live; `quality`: of the picture too. */
export function DeviceChoice({ golive, quality = false }: { golive: GoLive; quality?: boolean }) {
  const view = useStore(golive.view);
  return (
    <>
      <Choice
        label={t("golive.camera")}
        devices={view.cameras}
        chosen={view.cameraId}
        onChoose={(id) => void golive.setCamera(id)}
      />
      <Choice
        label={t("golive.microphone")}
        devices={view.microphones}
        chosen={view.microphoneId}
        onChoose={(id) => void golive.setMicrophone(id)}
      />
      {quality && (
        <label class="field">
          <span class="label">{t("golive.quality")}</span>
          <select
            class="input"
            value={String(view.quality)}
            onChange={(event) => {
              const chosen = QUALITIES.find((each) => String(each) === event.currentTarget.value);
              if (chosen) void golive.setQuality(chosen);
            }}
          >
            {QUALITIES.map((each) => (
              <option key={each} value={String(each)}>
                {t(QUALITY[each])}
              </option>
            ))}
          </select>
        </label>
      )}
    </>
  );
}

interface ChoiceProps {
  label: string;
  devices: Device[];
  chosen: string;
  onChoose: (id: string) => void;
}

function Choice({ label, devices, chosen, onChoose }: ChoiceProps) {
  return (
    <label class="field">
      <span class="label">{label}</span>
      <select class="input" value={chosen} disabled={devices.length === 0} onChange={(event) => onChoose(event.currentTarget.value)}>
        {devices.length === 0 && <option value="">{t("golive.none")}</option>}
        {devices.map((device, index) => (
          <option key={device.id} value={device.id}>
            {device.label || t("golive.unnamed", { number: index + 1 })}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Why camera or microphone did not open, and what to do. */
export function DeviceTroubles({ golive }: { golive: GoLive }) {
  const { cameraTrouble, microphoneTrouble } = useStore(golive.view);
  const found: Key[] = [];
  if (cameraTrouble) found.push(CAMERA[cameraTrouble]);
  if (microphoneTrouble) found.push(MICROPHONE[microphoneTrouble]);
  return (
    <>
      {found.map((key) => (
        <p key={key} class="note warn" role="alert">
          {t(key)}
        </p>
      ))}
    </>
  );
}
