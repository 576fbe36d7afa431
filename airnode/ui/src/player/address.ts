/** Where `live.mp4` is: beside the playlist; from the entry address with its ?jwt= we go straight to the path form. */
export function liveUrl(hlsUrl: string): string {
  const url = new URL(hlsUrl);
  const token = url.searchParams.get("jwt");
  const entry = /^\/live\/([^/]+)\/[^/]+$/.exec(url.pathname);
  if (token && entry) return `${url.origin}/v/${encodeURIComponent(token)}/${entry[1]}/live.mp4`;
  return new URL("live.mp4", url.origin + url.pathname).href;
}
