/** MP4 boxes for tests. */
import { joined } from "../src/player/fmp4.ts";

export function box(kind: string, ...content: Uint8Array[]): Uint8Array {
  const body = joined(content);
  const head = new Uint8Array(8);
  new DataView(head.buffer).setUint32(0, 8 + body.length);
  head.set([...kind].map((letter) => letter.charCodeAt(0)), 4);
  return joined([head, body]);
}

export function words(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  values.forEach((value, index) => new DataView(bytes.buffer).setUint32(index * 4, value));
  return bytes;
}
