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

  const renew = (fromS: number) => {
    const { muted, paused } = video;
    changeS = null;
    tracks = "";
    hls.detachMedia();
    hls.attachMedia(video);
    hls.startLoad(fromS);
    video.muted = muted;
    if (!paused) void video.play().catch(() => undefined);
  };
  /** End of the buffered media at this position; null: there is none. */
  const endHere = () => {
    const { buffered, currentTime } = video;
    for (let index = 0; index < buffered.length; index += 1) {
      const endS = buffered.end(index);
      if (buffered.start(index) <= currentTime + NEAR_S && currentTime <= endS) return endS;
    }
    return null;
  };
  const goOn = () => {
    if (changeS === null) return;
    const endS = endHere();
    const played = video.currentTime >= changeS - NEAR_S || (endS !== null && endS - video.currentTime < NEAR_S);
    if (played) renew(Math.max(changeS, video.currentTime));
  };
  const onSeeking = () => {
    if (changeS !== null && video.buffered.length > 0 && endHere() === null) renew(video.currentTime);
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
    goOn();
  });
  hls.on(Events.DESTROYING, () => listening.abort());
  for (const name of ["timeupdate", "waiting", "ended"]) video.addEventListener(name, goOn, { signal });
  video.addEventListener("seeking", onSeeking, { signal });
}
