import type { Line } from "./series.ts";
import type { QueueView } from "../api/schema.ts";

const MINUTES = 60;

/** Jobs of the last hour by minute, the oldest first; `at`: unix seconds. */
export interface Throughput {
  at: number[];
  completed: Line;
  failed: Line;
}

/** Return the sums of all queues. Minutes before the first job that ended are not drawn as zero. */
export function perMinute(queues: readonly Pick<QueueView, "completed_per_minute" | "failed_per_minute">[], nowS: number): Throughput {
  const minute = Math.floor(nowS / 60) * 60;
  const sums = (of: (queue: (typeof queues)[number]) => number[]) =>
    Array.from({ length: MINUTES }, (_, age) => {
      const known = queues.map((queue) => of(queue)[age]).filter((count) => count !== undefined);
      return known.length > 0 ? known.reduce((total, count) => total + count, 0) : null;
    }).reverse();
  return {
    at: Array.from({ length: MINUTES }, (_, age) => minute - age * 60).reverse(),
    completed: sums((queue) => queue.completed_per_minute),
    failed: sums((queue) => queue.failed_per_minute),
  };
}
