import { linkedAbort } from "../lib/backoff.ts";
import { QUIET_MS } from "../player/silence.ts";

/** A living node answers within a round trip. With {@link QUIET_MS} before it, a silent node is noticed after 2.4 s. */
const ANSWER_MS = 1_000;

/** `gone`: the connection was refused. `silent`: no answer in time. */
export type Reach = "there" | "gone" | "silent";

/** Return whether a media node answers at all. Its entry address only redirects, which any living node does at once. */
export async function reach(entryUrl: string, signal: AbortSignal): Promise<Reach> {
  const abort = linkedAbort(signal);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    abort.abort();
  }, ANSWER_MS);
  try {
    const { status } = await fetch(entryUrl, { redirect: "manual", cache: "no-store", signal: abort.signal });
    return status >= 500 ? "gone" : "there";
  } catch {
    return late || signal.aborted ? "silent" : "gone";
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

/** Asks a node from which no media comes whether it is gone; one question at a time, as errors may never come. */
export class NodeProbe {
  #asking: AbortSignal | null = null;

  /** Return whether the node is lost. `quietMs`: for how long no media has come. `signal` aborts when the person leaves. */
  async isLost(entryUrl: string, quietMs: () => number, signal: AbortSignal): Promise<boolean> {
    if (this.#asking === signal) return false;
    this.#asking = signal;
    const found = await reach(entryUrl, signal);
    if (this.#asking === signal) this.#asking = null;
    // A slow answer alone says little: media may have come in the meantime.
    return !signal.aborted && (found === "gone" || (found === "silent" && quietMs() > QUIET_MS));
  }
}
