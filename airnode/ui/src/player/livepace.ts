interface Demands {
  leastS: number;
  /** More of it after each stall of the network, until calm takes it back. */
  afterStallS: number;
  /** In a steady state corrections begin so far above or below the aim. */
  toleranceS: number;
}

/**
 * Least media that stays in hand when the latest fragment arrives. With less Chromium's sound underran now and then (at
 * 0.108 s in each of 3 rounds of 25 s, at 0.12 s in none of 5), and the picture stops with it for 0.7 s. That was when sound
 * came with the picture, and most fragments were less late than the latest; now nearly all are as late. Without sound only
 * decoding and one refresh of the screen have to be covered.
 */
const WITH_SOUND: Demands = { leastS: 0.125, afterStallS: 0.02, toleranceS: 0.012 };
const WITHOUT_SOUND: Demands = { leastS: 0.05, afterStallS: 0, toleranceS: 0.01 };
const MOST_S = 2;
/**
 * Catching up takes several changes of the rate, and each takes some milliseconds of sound that the clock does not count: in 3 of
 * 6 stalls the sound underran within a second after catching up, with 0.1 s in hand.
 */
const MOST_AFTER_STALLS_S = 0.04;

/** Stalls that follow within this are not a single accident: each asks for more in hand. */
const REPEATED_MS = 12_000;
/** One accident may stop the picture more than once. */
const SAME_STALL_MS = 3_000;
const AFTER_STALL_S = 0.1;
const CALM_MS = 10_000;
/** What stalls asked for is taken back in such steps: a quarter of it, at least this much. */
const CALM_SHARE = 0.25;
const CALM_STEP_S = 0.05;
const CALM_AFTER_STALLS_STEP_S = 0.01;

/** Lateness counts for so long, by its maximum in each bucket. */
const LATENESS_MS = 6_000;
const BUCKET_MS = 500;
/** So many buckets must be there before one of them may be taken for an accident. */
const FEWEST_BUCKETS = 4;

/** The position is averaged over this. */
const WINDOW_MS = 500;
/** A position that moves by more between two readings is a seek. */
const SEEK_S = 0.3;

/** In a steady state corrections last so long, and the next one waits for so long. */
const CORRECTION_MS = 2_500;
const REST_MS = 2_100;
const MOST_CORRECTION = 0.04;

/** Beyond this distance the rate follows at once. */
const FAR_S = 0.12;
const FAR_RATES: readonly { beyondS: number; rate: number }[] = [
  { beyondS: 0.3, rate: 2 },
  { beyondS: 0.12, rate: 1.5 },
  { beyondS: 0.06, rate: 1.25 },
  { beyondS: 0, rate: 1.08 },
];
/** Jump instead of playing faster. */
const JUMP_S = 2.5;

interface Bucket {
  atMs: number;
  latestS: number;
}

interface Reading {
  atMs: number;
  behindS: number;
}

/**
 * How near to the live edge a stream of small fragments can be played, and at which rate.
 *
 * Everything is a distance between the local clock and media time, in seconds. Lateness: that of the end of what is in
 * hand, when the fragment that continues it arrives. Behind: that of the frame on screen. A fragment with the greatest
 * lateness finds `behind - lateness` of media in hand, the low water of the buffer's saw-tooth; this is held at the least
 * amount, plus what repeated stalls ask for.
 *
 * One late arrival is an accident: the greatest lateness counts only when another moment of the last seconds was as
 * late. Small distances are corrected by one slightly different rate for 2.5 s, because each change of the rate disturbs
 * the sound; large ones at once.
 */
export class LivePace {
  #demands = WITH_SOUND;
  #buckets: Bucket[] = [];
  #readings: Reading[] = [];
  #lastEndS = Number.NaN;
  #fragmentS = 0.04;
  #surchargeS = 0;
  #afterStallsS = 0;
  #stalledAtMs = -Infinity;
  #calmSinceMs = Number.NaN;
  #rate = 1;
  #far = false;
  #untilMs = -Infinity;
  #restsUntilMs = -Infinity;

  /** Media in hand that is aimed at, when the latest fragment arrives. */
  get aimS(): number {
    return Math.min(MOST_S, this.#demands.leastS + this.#afterStallsS + this.#surchargeS);
  }

  get fragmentS(): number {
    return this.#fragmentS;
  }

  /** Even the largest aim did not prevent stalls. */
  get exhausted(): boolean {
    return this.#surchargeS >= MOST_S;
  }

  /** The timeline or the connection changed: what arrived before says nothing about what comes. */
  reset(sound: boolean): void {
    this.#demands = sound ? WITH_SOUND : WITHOUT_SOUND;
    this.#buckets = [];
    this.#afterStallsS = 0;
    this.#lastEndS = Number.NaN;
    this.#settle(1, -Infinity);
  }

  /** A fragment came while what was in hand ended at `endS`. */
  arrived(nowMs: number, endS: number): void {
    const step = endS - this.#lastEndS;
    this.#lastEndS = endS;
    if (step > 0 && step < 0.5) this.#fragmentS += (step - this.#fragmentS) / 16;
    const lateS = nowMs / 1000 - endS;
    const bucket = this.#buckets.at(-1);
    if (bucket && nowMs - bucket.atMs < BUCKET_MS) {
      bucket.latestS = Math.max(bucket.latestS, lateS);
    } else {
      this.#buckets.push({ atMs: nowMs, latestS: lateS });
      this.#buckets = this.#buckets.filter(({ atMs }) => nowMs - atMs <= LATENESS_MS);
    }
    this.#relax(nowMs);
  }

  stalled(nowMs: number): void {
    this.#calmSinceMs = nowMs;
    if (nowMs - this.#stalledAtMs < SAME_STALL_MS) return;
    const repeated = nowMs - this.#stalledAtMs < REPEATED_MS;
    this.#stalledAtMs = nowMs;
    this.#afterStallsS = Math.min(MOST_AFTER_STALLS_S, this.#afterStallsS + this.#demands.afterStallS);
    if (repeated) this.#surchargeS = Math.min(MOST_S, Math.max(this.#surchargeS * 1.5, this.#surchargeS + AFTER_STALL_S));
  }

  /** Where to play now to be as far behind as is aimed at; null while too little has arrived to say. */
  position(nowMs: number): number | null {
    const lateS = this.#lateness();
    return lateS === null ? null : nowMs / 1000 - lateS - this.aimS;
  }

  /** The rate to play at when `positionS` is on screen; "jump": it is too far behind for any rate. */
  rate(nowMs: number, positionS: number): number | "jump" {
    const behindS = nowMs / 1000 - positionS;
    const last = this.#readings.at(-1);
    if (last && Math.abs(behindS - last.behindS) > SEEK_S) this.#settle(1, -Infinity);
    this.#readings.push({ atMs: nowMs, behindS });
    this.#readings = this.#readings.filter(({ atMs }) => nowMs - atMs <= WINDOW_MS);
    const lateS = this.#lateness();
    if (lateS === null) return this.#rate;
    const excessS = behindS - lateS - this.aimS;
    if (excessS > JUMP_S) {
      this.#settle(1, -Infinity);
      return "jump";
    }
    if (this.#far ? excessS > 0 : excessS > FAR_S) return this.#hurry(excessS);
    if (this.#far) this.#settle(1, nowMs);
    return this.#correct(nowMs, lateS);
  }

  #hurry(excessS: number): number {
    this.#far = true;
    const { rate } = FAR_RATES.find(({ beyondS }) => excessS > beyondS)!;
    // Once slowed down it does not speed up again for a few milliseconds more.
    if (this.#rate <= 1 || rate < this.#rate || excessS > FAR_RATES[0]!.beyondS * 1.2) this.#rate = rate;
    return this.#rate;
  }

  /** In a steady state: one small change, and back again when it has done its work. */
  #correct(nowMs: number, lateS: number): number {
    if (this.#rate !== 1) {
      if (nowMs >= this.#untilMs) this.#settle(1, nowMs);
      return this.#rate;
    }
    const oldest = this.#readings[0]!;
    if (nowMs < this.#restsUntilMs || nowMs - oldest.atMs < WINDOW_MS * 0.7) return 1;
    const meanS = this.#readings.reduce((sum, { behindS }) => sum + behindS, 0) / this.#readings.length;
    const excessS = meanS - lateS - this.aimS;
    if (Math.abs(excessS) < this.#demands.toleranceS) return 1;
    const share = (excessS * 1000) / CORRECTION_MS;
    this.#rate = round(1 + Math.max(-MOST_CORRECTION, Math.min(MOST_CORRECTION, share)));
    this.#untilMs = nowMs + CORRECTION_MS;
    return this.#rate;
  }

  #settle(rate: number, nowMs: number): void {
    this.#rate = rate;
    this.#far = false;
    this.#untilMs = nowMs;
    this.#restsUntilMs = nowMs + REST_MS;
    this.#readings = [];
  }

  /** The greatest lateness that is to be expected; null: nothing arrived. */
  #lateness(): number | null {
    const latest = this.#buckets.map(({ latestS }) => latestS);
    if (latest.length === 0) return null;
    const most = Math.max(...latest);
    if (latest.length < FEWEST_BUCKETS) return most;
    const at = latest.indexOf(most);
    // What was held up comes at once, perhaps on both sides of a bucket's edge.
    return Math.max(...latest.filter((_, index) => Math.abs(index - at) > 1));
  }

  #relax(nowMs: number): void {
    if (Number.isNaN(this.#calmSinceMs)) this.#calmSinceMs = nowMs;
    if (nowMs - this.#calmSinceMs < CALM_MS) return;
    this.#calmSinceMs = nowMs;
    this.#surchargeS = Math.max(0, this.#surchargeS - Math.max(CALM_STEP_S, this.#surchargeS * CALM_SHARE));
    this.#afterStallsS = Math.max(0, this.#afterStallsS - CALM_AFTER_STALLS_STEP_S);
  }
}

function round(rate: number): number {
  return Math.round(rate * 1000) / 1000;
}
