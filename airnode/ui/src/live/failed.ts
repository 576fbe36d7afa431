/** Longer than the cluster takes to miss a dead node (`cluster.lease_s`, 6 s) and than its placement stays stale. */
const KEPT_MS = 20_000;
/** More than so many at once is not a node's failure, but ours. */
const MOST = 4;

/** Nodes that just failed us: the cluster may still believe in them, so they are named when a new place is asked for. */
export class FailedNodes {
  #failedAtMs = new Map<string, number>();

  add(nodeId: string, nowMs: number): void {
    this.#failedAtMs.delete(nodeId);
    this.#failedAtMs.set(nodeId, nowMs);
    const oldest = this.#failedAtMs.keys().next().value;
    if (this.#failedAtMs.size > MOST && oldest !== undefined) this.#failedAtMs.delete(oldest);
  }

  clear(): void {
    this.#failedAtMs.clear();
  }

  /** Those of the last seconds, with commas between them; undefined: none. */
  listed(nowMs: number): string | undefined {
    const recent = [...this.#failedAtMs].filter(([, atMs]) => nowMs - atMs < KEPT_MS).map(([nodeId]) => nodeId);
    return recent.length > 0 ? recent.join(",") : undefined;
  }
}
