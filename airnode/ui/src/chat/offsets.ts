/** Where one is in the room's sequence. A new epoch means that the sequence began anew. */
export interface Offset {
  epoch: string;
  number: number;
}

/** Return whether the fact is known on one server only: Redis was away. */
export function isOwnEpoch({ epoch }: Offset): boolean {
  return epoch.startsWith("~");
}

/** Return "<epoch>:<number>" in its parts; null for anything else. */
export function parseOffset(text: unknown): Offset | null {
  if (typeof text !== "string") return null;
  const cut = text.lastIndexOf(":");
  const number = Number(text.slice(cut + 1));
  return cut > 0 && cut < text.length - 1 && Number.isSafeInteger(number) ? { epoch: text.slice(0, cut), number } : null;
}

/** Return the sum of both: an answer may give the epoch and the number apart, or the whole offset. */
export function offsetOf(epoch: string | number, offset: string | number): Offset {
  return parseOffset(offset) ?? { epoch: String(epoch), number: Number(offset) || 0 };
}

export function offsetText({ epoch, number }: Offset): string {
  return `${epoch}:${number}`;
}
