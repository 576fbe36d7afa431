/** Return a class code as the server spells it: people type it with spaces, hyphens and in lower case. */
export function normalizeCode(typed: string): string {
  return typed.replace(/[\s\-–—_.]/g, "").toUpperCase();
}

/** Return the class code in an address: `/class/<code>` or `?code=<code>`; null when there is none. */
export function codeFromAddress(pathname: string, search: string): string | null {
  const fromPath = /^\/class\/([^/]+)\/?$/.exec(pathname)?.[1];
  const code = fromPath === undefined ? new URLSearchParams(search).get("code") : safeDecode(fromPath);
  return code ? normalizeCode(code) || null : null;
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The fragment of a link that leads into the class without the card to join: the studio's links to recordings have it. */
export const JOIN_AT_ONCE = "join";
