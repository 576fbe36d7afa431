/** Longer than the cluster takes to notice a dead node (`cluster.lease_s`, 6 s) and to stop placing viewers on it. */
const KEPT_MS = 20_000;
/** When more nodes fail at once, the cause is this page's own connection. */
const MOST = 4;

/** Nodes that just failed: the cluster may still consider them healthy, so the request for a new place names them. */
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

  /** Return the nodes that failed in the last 20 s, separated by commas; undefined: none. */
  listed(nowMs: number): string | undefined {
    const recent = [...this.#failedAtMs].filter(([, atMs]) => nowMs - atMs < KEPT_MS).map(([nodeId]) => nodeId);
    return recent.length > 0 ? recent.join(",") : undefined;
  }
}
