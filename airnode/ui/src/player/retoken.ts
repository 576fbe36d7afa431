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

/** Both addresses are served by the same node. */
export function sameNode(a: string, b: string): boolean {
  try {
    return new URL(a).origin === new URL(b).origin;
  } catch {
    return false;
  }
}
