import { useEffect, useState } from "preact/hooks";

/** iPhones show only the video element itself in full screen. */
interface PhoneVideo extends HTMLVideoElement {
  webkitEnterFullscreen?(): void;
}

export function canFullscreen(video: HTMLVideoElement | null): boolean {
  return document.fullscreenEnabled || typeof (video as PhoneVideo | null)?.webkitEnterFullscreen === "function";
}

export function toggleFullscreen(container: HTMLElement, video: HTMLVideoElement): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else if (document.fullscreenEnabled) void container.requestFullscreen().catch(() => undefined);
  else (video as PhoneVideo).webkitEnterFullscreen?.();
}

export function useFullscreen(): boolean {
  const [on, setOn] = useState(document.fullscreenElement !== null);
  useEffect(() => {
    const read = () => setOn(document.fullscreenElement !== null);
    document.addEventListener("fullscreenchange", read);
    return () => document.removeEventListener("fullscreenchange", read);
  }, []);
  return on;
}
