import type HlsType from "hls.js";

/** So near to the new tracks, the old ones count as played. */
const NEAR_S = 0.15;

/**
 * Let hls.js go on when sound only becomes picture and sound, or the other way round.
 *
 * A MediaSource that plays cannot change its tracks. So loading stops there; what was loaded is played to its end, and
 * the media from there on gets a new MediaSource.
 */
export function followTracks(Hls: typeof HlsType, hls: HlsType, video: HTMLVideoElement): void {
  const { Events } = Hls;
  const listening = new AbortController();
  const { signal } = listening;
  let tracks = "";
  /** Where the fragment begins that is loaded now. */
  let fragmentS = 0;
  /** Where the new tracks begin; null: they have not changed. */
  let changeS: number | null = null;

  const renew = () => {
    if (changeS === null) return;
    const { muted, paused } = video;
    const fromS = Math.max(changeS, video.currentTime);
    changeS = null;
    tracks = "";
    hls.detachMedia();
    hls.attachMedia(video);
    hls.startLoad(fromS);
    video.muted = muted;
    if (!paused) void video.play().catch(() => undefined);
  };

  hls.on(Events.FRAG_LOADING, (_event, { frag, part }) => {
    if (frag.sn !== "initSegment") fragmentS = part?.start ?? frag.start;
  });
  hls.on(Events.BUFFER_CODECS, (_event, found) => {
    const names = Object.keys(found).sort().join();
    const isChange = tracks !== "" && names !== tracks;
    tracks ||= names;
    if (!isChange || changeS !== null) return;
    changeS = fragmentS;
    hls.stopLoad();
    if (video.currentTime >= changeS - NEAR_S || video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA) renew();
  });
  hls.on(Events.DESTROYING, () => listening.abort());
  video.addEventListener("timeupdate", () => changeS !== null && video.currentTime >= changeS - NEAR_S && renew(), { signal });
  video.addEventListener("waiting", renew, { signal });
  video.addEventListener("seeking", renew, { signal });
  video.addEventListener("ended", renew, { signal });
}
