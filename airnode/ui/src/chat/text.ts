/** A piece of a message: text, or a link that may be followed. */
export interface Piece {
  text: string;
  href: string | null;
}

const LINK = /\bhttps?:\/\/[^\s<>"'`\u3000]+/giu;
/** What ends a sentence is not part of the address in it. */
const TRAILING = /[.,:;!?…。，、！？'"’”»)\]}]+$/u;

/** Return the message in pieces. Only http and https become links; a closing bracket stays in an address that opened it. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let from = 0;
  for (const match of text.matchAll(LINK)) {
    const link = trimmed(match[0]);
    const href = addressOf(link);
    if (href === null) continue;
    if (match.index > from) found.push({ text: text.slice(from, match.index), href: null });
    found.push({ text: link, href });
    from = match.index + link.length;
  }
  if (from < text.length) found.push({ text: text.slice(from), href: null });
  return found;
}

function trimmed(link: string): string {
  for (;;) {
    const end = TRAILING.exec(link)?.[0];
    if (!end) return link;
    if (link.endsWith(")") && link.split("(").length >= link.split(")").length) return link;
    link = link.slice(0, -1);
  }
}

function addressOf(link: string): string | null {
  try {
    const { protocol, hostname, href } = new URL(link);
    return (protocol === "http:" || protocol === "https:") && hostname !== "" ? href : null;
  } catch {
    return null;
  }
}

/** Return the colour of a name, 0 to 7: the same person has the same everywhere. */
export function hueOf(id: string): number {
  let hash = 0;
  for (let index = 0; index < id.length; index += 1) hash = (hash * 31 + id.charCodeAt(index)) | 0;
  return Math.abs(hash) % 8;
}
