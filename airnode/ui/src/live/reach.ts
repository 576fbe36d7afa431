import { linkedAbort } from "../lib/backoff.ts";

/** A node that lives answers within a round trip; with {@link QUIET_MS} before it a silent one is found out in 2.4 s. */
const ANSWER_MS = 1_000;

/** `gone`: the connection was refused. `silent`: no answer in time. */
export type Reach = "there" | "gone" | "silent";

/** Whether a media node answers at all: its entry address only redirects, which any living node does at once. */
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
