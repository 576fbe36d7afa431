import type { HandRow } from "../api/types.ts";

/** A hand, from when to when it was up; `to` is null for one that nobody lowered. Times are unix seconds. */
export interface RaisedHand {
  userId: string;
  name: string;
  from: number;
  to: number | null;
}

/** Return who had a hand up, and when, from what happened in its order. A row without a user: the teacher lowered all hands. */
export function raisedHands(rows: readonly HandRow[]): RaisedHand[] {
  const hands: RaisedHand[] = [];
  const up = new Map<string, RaisedHand>();
  for (const { at, user_id, name, raised } of rows) {
    if (raised) {
      if (up.has(user_id)) continue;
      const hand = { userId: user_id, name, from: at, to: null };
      up.set(user_id, hand);
      hands.push(hand);
      continue;
    }
    for (const [id, hand] of user_id === "" ? [...up] : [...up].filter(([key]) => key === user_id)) {
      hand.to = at;
      up.delete(id);
    }
  }
  return hands;
}
