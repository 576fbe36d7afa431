const PATH_TOKEN = /^(\/v\/)([^/]+)(\/.*)$/;

/**
 * Put the current token into a media address.
 *
 * Media paths are `/v/<token>/<room>/…`; players resolve every URI against the playlist they loaded
 * first, so a renewed token has to be put into later requests. Other addresses stay as they are.
 */
export function withToken(url: string, token: string): string {
  const parsed = new URL(url, "http://relative.invalid/");
  const match = PATH_TOKEN.exec(parsed.pathname);
  if (!match || match[2] === token) return url;
  const path = `${match[1]}${encodeURIComponent(token)}${match[3]}${parsed.search}`;
  return parsed.hostname === "relative.invalid" ? path : `${parsed.origin}${path}`;
}

/** `<media>/v/<token>/<room>/`, under which a room's recordings are: on any node, with any token of the room. */
export function roomBase({ hls_url, token, room }: { hls_url: string; token: string; room: string }): string {
  return `${new URL(hls_url).origin}/v/${encodeURIComponent(token)}/${encodeURIComponent(room)}/`;
}

/** The same thing below another base: the token was renewed, or the node is another one. */
export function rebased(url: string, base: string): string {
  const match = /^https?:\/\/[^/]+\/v\/[^/]+\/[^/]+\/(.*)$/.exec(url);
  return match ? base + match[1] : url;
}

/** Both addresses are served by the same node. */
export function sameNode(a: string, b: string): boolean {
  try {
    return new URL(a).origin === new URL(b).origin;
  } catch {
    return false;
  }
}
