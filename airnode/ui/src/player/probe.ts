import { linkedAbort } from "../lib/backoff.ts";
import { liveUrl } from "./address.ts";
import { StampReader } from "./fmp4.ts";

/** The first burst is old media, which a proxy that holds everything back may send too; what comes after this counts. */
const BURST_MS = 1_000;
const WITHIN_MS = 4_000;

/** Return whether the network passes live.mp4 and this browser can play it, while the class plays over HLS. */
export async function comesThrough(hlsUrl: string, outer: AbortSignal): Promise<boolean> {
  const run = linkedAbort(outer);
  const timer = setTimeout(() => run.abort(), WITHIN_MS);
  try {
    const response = await fetch(liveUrl(hlsUrl), { signal: run.signal, cache: "no-store" });
    if (!response.ok || !response.body) return false;
    const reader = response.body.getReader();
    const [stamps, beganMs] = [new StampReader(), performance.now()];
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return false;
      if (stamps.push(value).length > 0 && performance.now() - beganMs > BURST_MS) return true;
    }
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
    run.abort();
  }
}
