import type { Message } from "./events.ts";
import { parseOffset } from "./offsets.ts";

/** Return whether `a` stands before `b`: by the offset within an epoch, else as they came. */
function isBefore(a: Message, b: Message): boolean {
  const [one, other] = [parseOffset(a.offset), parseOffset(b.offset)];
  return one !== null && other !== null && one.epoch === other.epoch && one.number < other.number;
}

/** Return the list with the message in its place; the same list if it is there already. */
export function inserted(list: readonly Message[], message: Message): readonly Message[] {
  let place = list.length;
  while (place > 0 && isBefore(message, list[place - 1] as Message)) place -= 1;
  for (let index = list.length - 1; index >= 0; index -= 1) if (list[index]?.id === message.id) return list;
  return place === list.length ? [...list, message] : [...list.slice(0, place), message, ...list.slice(place)];
}

/** Return both lists in one, each message once. */
export function merged(list: readonly Message[], more: readonly Message[]): readonly Message[] {
  const known = new Set(list.map(({ id }) => id));
  const fresh: Message[] = [];
  for (const message of more) {
    if (known.has(message.id)) continue;
    known.add(message.id);
    fresh.push(message);
  }
  if (fresh.length === 0) return list;
  const [first, last] = [fresh[0] as Message, fresh[fresh.length - 1] as Message];
  if (list.length === 0) return ordered(fresh);
  if (isBefore(last, list[0] as Message)) return [...ordered(fresh), ...list];
  if (isBefore(list[list.length - 1] as Message, first)) return [...list, ...ordered(fresh)];
  return fresh.reduce(inserted, list);
}

function ordered(list: readonly Message[]): readonly Message[] {
  return list.slice(1).reduce(inserted, list.slice(0, 1));
}

/** Return whether the newest of `list` is also covered by `page`, the server's newest messages: nothing is missing between. */
export function meets(list: readonly Message[], page: readonly Message[]): boolean {
  const [last, first] = [list[list.length - 1], page[0]];
  if (!last || !first) return true;
  return page.some(({ id }) => id === last.id) || isBefore(first, last);
}
