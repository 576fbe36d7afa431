import { FULL_BPS, ladder, MIN_BPS, rungFor, type Quality, type Rung } from "./ladder.ts";

/** The uplink at one moment. Counts are totals since the connection was accepted. */
export interface UplinkReading {
  nowMs: number;
  sentMessages: number;
  sentBytes: number;
  ackedMessages: number;
  ackedBytes: number;
  /** What the WebSocket holds and the network has not taken. */
  bufferedBytes: number;
}

/** What the encoder should do now. */
export interface RateDecision {
  bitrateBps: number;
  rung: Rung;
  /** The uplink is so far behind that further frames would only arrive late: they are not encoded. */
  skip: boolean;
}

/** A frame's way to the node takes this much longer than usual: the uplink is full. */
const FULL_MS = 350;
const CLEAR_MS = 150;
/** Frames are left out while the uplink is behind by this much, and again sent below the second. */
const SKIP_MS = 900;
const RESUME_MS = 300;
/** The part of the measured throughput that is used after the uplink was full. */
const BACK_OFF = 0.8;
const MOST_CUT = 0.5;
const GROWTH = 1.1;
const GROW_EVERY_MS = 1_000;
/** After a cut the bit rate stays for this long; longer after each attempt to grow that failed soon. */
const HOLD_MS = 2_500;
const MOST_HOLD_MS = 20_000;
const FAILED_SOON_MS = 8_000;
const CUT_EVERY_MS = 700;
const BUSY_MS = 350;
const THROUGHPUT_MS = 1_500;
/** A usual way to the node is the shortest of the last while. */
const USUAL_MS = 20_000;

/**
 * Decides bit rate, frame rate and size from what the uplink takes. No clock and no I/O: readings go in every 100 ms or
 * so, decisions come out.
 *
 * How late the uplink is, is how long ago the oldest message was sent that the node has not acknowledged, less the shortest
 * such time of the last 20 s. When it is late, the bit rate is cut to what gets through; when it is not, it grows again,
 * more and more carefully where growing has failed. Frame rate and size follow the bit rate (`ladder.ts`).
 */
export class RateControl {
  readonly #rungs: Rung[];
  readonly #fullBps: number;
  #bitrateBps: number;
  #rung = 0;
  #skip = false;
  #sent: { message: number; atMs: number }[] = [];
  #acked: { bytes: number; atMs: number }[] = [];
  #ages: { ageMs: number; atMs: number }[] = [];
  #cutMs = Number.NEGATIVE_INFINITY;
  #grewMs = Number.NEGATIVE_INFINITY;
  #holdMs = HOLD_MS;
  #lateMs = 0;
  #readMs = Number.NaN;

  constructor(quality: Quality) {
    this.#rungs = ladder(quality);
    this.#fullBps = FULL_BPS[quality];
    this.#bitrateBps = this.#fullBps;
  }

  /** How late the uplink is. */
  get lateMs(): number {
    return this.#lateMs;
  }

  /** A new connection: nothing is on its way. The bit rate stays what it was. */
  reconnected(nowMs: number): void {
    this.#sent = [];
    this.#acked = [];
    this.#ages = [];
    this.#skip = false;
    this.#lateMs = 0;
    this.#cutMs = nowMs;
  }

  update(reading: UplinkReading): RateDecision {
    const { nowMs } = reading;
    this.#note(reading);
    const late = this.#late(nowMs);
    this.#lateMs = late;
    this.#skip = late > (this.#skip ? RESUME_MS : SKIP_MS);
    // A reading that is late itself says that the computer is busy: acknowledgements wait to be read.
    const isBusy = nowMs - this.#readMs > BUSY_MS;
    this.#readMs = nowMs;
    if (late > FULL_MS && !isBusy) this.#cut(nowMs, reading);
    else if (late < CLEAR_MS) this.#grow(nowMs);
    this.#rung = rungFor(this.#rungs, this.#bitrateBps, this.#rung);
    return { bitrateBps: Math.round(this.#bitrateBps), rung: this.#rungs[this.#rung]!, skip: this.#skip };
  }

  #note({ nowMs, sentMessages, ackedMessages, ackedBytes }: UplinkReading): void {
    if (sentMessages > (this.#sent.at(-1)?.message ?? 0)) this.#sent.push({ message: sentMessages, atMs: nowMs });
    while (this.#sent[0] && this.#sent[0].message <= ackedMessages) {
      const { atMs } = this.#sent.shift()!;
      this.#ages.push({ ageMs: nowMs - atMs, atMs: nowMs });
    }
    while (this.#ages[0] && nowMs - this.#ages[0].atMs > USUAL_MS) this.#ages.shift();
    this.#acked.push({ bytes: ackedBytes, atMs: nowMs });
    while (this.#acked[1] && nowMs - this.#acked[1].atMs >= THROUGHPUT_MS) this.#acked.shift();
  }

  #late(nowMs: number): number {
    const oldest = this.#sent[0];
    if (!oldest) return 0;
    const usual = this.#ages.reduce((least, { ageMs }) => Math.min(least, ageMs), 300);
    return Math.max(0, nowMs - oldest.atMs - usual);
  }

  #throughputBps(nowMs: number): number {
    const first = this.#acked[0];
    const last = this.#acked.at(-1);
    if (!first || !last || nowMs - first.atMs < 300) return this.#bitrateBps;
    return ((last.bytes - first.bytes) * 8_000) / (nowMs - first.atMs);
  }

  #cut(nowMs: number, { bufferedBytes }: UplinkReading): void {
    if (nowMs - this.#cutMs < CUT_EVERY_MS) return;
    if (nowMs - this.#grewMs < FAILED_SOON_MS) this.#holdMs = Math.min(MOST_HOLD_MS, this.#holdMs * 2);
    const through = this.#throughputBps(nowMs) * BACK_OFF;
    // With an empty buffer in the browser the network itself is slow to confirm: a smaller step is enough.
    const least = this.#bitrateBps * (bufferedBytes > 0 ? MOST_CUT : 0.7);
    this.#bitrateBps = Math.max(MIN_BPS, Math.min(this.#bitrateBps * 0.9, Math.max(least, through)));
    this.#cutMs = nowMs;
  }

  #grow(nowMs: number): void {
    if (this.#bitrateBps >= this.#fullBps || nowMs - this.#cutMs < this.#holdMs) return;
    if (nowMs - this.#grewMs < GROW_EVERY_MS) return;
    // Growing has worked for a while: the next attempt after a cut need not wait so long.
    if (nowMs - this.#cutMs > this.#holdMs + FAILED_SOON_MS) this.#holdMs = HOLD_MS;
    this.#bitrateBps = Math.min(this.#fullBps, this.#bitrateBps * GROWTH);
    this.#grewMs = nowMs;
  }
}
