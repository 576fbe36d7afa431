/** Media in hand that decoding and the screen need, beside what jitter and fragments ask for. */
const MARGIN_S = 0.05;
const LEAST_S = 0.1;
const MOST_S = 2;
const AFTER_STALL_S = 0.1;
const CALM_MS = 10_000;
const CALM_STEP_S = 0.05;
/** Jitter is the spread of arrivals within this; so a single late one is forgotten again. */
const JITTER_MS = 10_000;
const BUCKET_MS = 500;
/** More in hand than the aim by this: jump instead of playing faster. */
const JUMP_S = 2.5;

interface Bucket {
  atMs: number;
  earliest: number;
  latest: number;
}

/**
 * How near to the live edge a stream of small fragments can be played, and at which rate.
 *
 * The aim is what arrivals demand: the length of a fragment, the jitter of the last ten seconds, a margin, and a
 * surcharge that each stall raises and each calm stretch lowers.
 */
export class LivePace {
  #buckets: Bucket[] = [];
  #lastMediaS = Number.NaN;
  #fragmentS = 0.04;
  #surchargeS = 0;
  #calmSinceMs = Number.NaN;
  #aimS = LEAST_S;

  get aimS(): number {
    return this.#aimS;
  }

  get fragmentS(): number {
    return this.#fragmentS;
  }

  /** Even the largest aim did not prevent stalls. */
  get exhausted(): boolean {
    return this.#surchargeS >= MOST_S;
  }

  /** The timeline or the connection changed: what arrived before says nothing about what comes. */
  reset(): void {
    this.#buckets = [];
    this.#lastMediaS = Number.NaN;
  }

  /** A fragment came that begins at `mediaS`. */
  arrived(nowMs: number, mediaS: number): void {
    const step = mediaS - this.#lastMediaS;
    this.#lastMediaS = mediaS;
    if (step > 0 && step < 0.5) this.#fragmentS += (step - this.#fragmentS) / 16;
    const lateMs = nowMs - mediaS * 1000;
    const bucket = this.#buckets.at(-1);
    if (bucket && nowMs - bucket.atMs < BUCKET_MS) {
      bucket.earliest = Math.min(bucket.earliest, lateMs);
      bucket.latest = Math.max(bucket.latest, lateMs);
    } else {
      this.#buckets.push({ atMs: nowMs, earliest: lateMs, latest: lateMs });
      this.#buckets = this.#buckets.filter(({ atMs }) => nowMs - atMs <= JITTER_MS);
    }
    this.#relax(nowMs);
    this.#measure();
  }

  stalled(nowMs: number): void {
    this.#surchargeS = Math.min(MOST_S, Math.max(this.#surchargeS * 1.5, this.#surchargeS + AFTER_STALL_S));
    this.#calmSinceMs = nowMs;
    this.#measure();
  }

  /** The rate to play at with so much in hand; "jump": it is too much for any rate. */
  rate(aheadS: number): number | "jump" {
    const excessS = aheadS - this.#aimS;
    if (excessS > JUMP_S) return "jump";
    if (excessS > 0.5) return 1.5;
    if (excessS > 0.06) return 1.1;
    if (aheadS < this.#aimS / 2) return 0.95;
    return 1;
  }

  #measure(): void {
    let [earliest, latest] = [Infinity, -Infinity];
    for (const bucket of this.#buckets) {
      earliest = Math.min(earliest, bucket.earliest);
      latest = Math.max(latest, bucket.latest);
    }
    const jitterS = this.#buckets.length > 0 ? Math.max(0, latest - earliest) / 1000 : 0;
    const wantedS = Math.max(LEAST_S, jitterS + this.#fragmentS + MARGIN_S) + this.#surchargeS;
    this.#aimS = Math.min(MOST_S, wantedS);
  }

  #relax(nowMs: number): void {
    if (Number.isNaN(this.#calmSinceMs)) this.#calmSinceMs = nowMs;
    if (nowMs - this.#calmSinceMs < CALM_MS) return;
    this.#calmSinceMs = nowMs;
    this.#surchargeS = Math.max(0, this.#surchargeS - CALM_STEP_S);
  }
}
