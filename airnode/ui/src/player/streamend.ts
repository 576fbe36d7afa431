import type HlsType from "hls.js";
import type { HlsClass } from "./hls.ts";

/** Where a track ends by so much before the other one, media seems to be missing at the end. */
const UNEVEN_END_S = 1;

/**
 * Say that the stream is over once its last fragment is there.
 *
 * hls.js does so only if that fragment is in the buffer; one that has a few frames of one track only never is, because what
 * is buffered ends with the shorter track until the stream is over.
 */
export function endWithTheLast(Hls: HlsClass, hls: HlsType, video: HTMLVideoElement): void {
  let isThere = false;
  const end = () => hls.trigger(Hls.Events.BUFFER_EOS, { type: null });
  const onWaiting = () => {
    const { buffered, duration } = video;
    const endS = buffered.length > 0 ? buffered.end(buffered.length - 1) : 0;
    if (isThere && endS > duration - UNEVEN_END_S && video.currentTime > endS - UNEVEN_END_S) end();
  };
  hls.on(Hls.Events.FRAG_BUFFERED, (_event, { frag }) => {
    const details = hls.latestLevelDetails;
    if (!details || details.live || frag.sn !== details.endSN) return;
    isThere = true;
    end();
  });
  video.addEventListener("waiting", onWaiting);
  hls.on(Hls.Events.DESTROYING, () => video.removeEventListener("waiting", onWaiting));
}
