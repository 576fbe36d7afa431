/** Least depth when it is lowest: what covers the worklet's blocks and the decoder's packets of 21 ms. */
const LEAST_S = 0.02;
const MOST_S = 0.2;
/** It begins with so much more than the least. */
const START_S = 0.03;
const AFTER_UNDERRUN_S = 0.02;
const CALM_S = 5;
const CALM_STEP_S = 0.005;
/** Silence for so long was a stall of the network, which no depth of this kind covers. */
const STALL_S = 0.3;
/** For this time after a stall the surplus is cut, so that the delay is as before. */
const RECOVERY_S = 1;
const RECOVERY_PILE_S = 0.07;
const RECOVERY_CUT_S = 0.015;

const WINDOW_S = 0.5;
const CHECK_S = 0.1;
/** Too deep at its lowest by so much: cut. Deeper at all by so much: cut at once, it has piled up behind a stall. */
const CUT_S = 0.12;
const PILE_S = 0.3;
/** How fast it plays when its smallest depth is further above the least than `aboveS`. 0.4 % are 7 cents: nobody hears them. */
const SPEEDS: readonly { aboveS: number; speed: number }[] = [
  { aboveS: 0.04, speed: 1.03 },
  { aboveS: 0.01, speed: 1.012 },
  { aboveS: 0.003, speed: 1.004 },
  { aboveS: -0.003, speed: 1 },
  { aboveS: -0.01, speed: 0.996 },
  { aboveS: -Infinity, speed: 0.985 },
];
/** Samples over which sound fades in after a cut. */
const FADE = 96;

interface Packet {
  planes: Float32Array[];
  mediaS: number;
}

/**
 * Decoded sound between the decoder and the loudspeaker: a small jitter buffer for an AudioWorklet.
 *
 * A slightly different rate keeps the smallest depth of each half second near a target. Each underrun raises the target;
 * each period without one lowers it. Time is counted in samples that were read, so no clock is needed.
 */
export class SoundQueue {
  readonly #rate: number;
  readonly #packets: Packet[] = [];
  #depth = 0;
  #position = 0;
  #speed = 1;
  #leastS = LEAST_S;
  #playing = false;
  #begun = false;
  #faded = 0;
  #readS = 0;
  #checkedS = 0;
  #calmS = 0;
  #silentS = 0;
  #recoversUntilS = 0;
  #lows: { atS: number; depthS: number }[] = [];
  underruns = 0;

  /** `sampleRate` in Hz, of what is pushed and what is read. */
  constructor(sampleRate: number) {
    this.#rate = sampleRate;
  }

  get depthS(): number {
    return Math.max(0, this.#depth - this.#position) / this.#rate;
  }

  get leastS(): number {
    return this.#leastS;
  }

  get playing(): boolean {
    return this.#playing;
  }

  /** The media time of the next sample that is read; null: none plays. */
  get mediaS(): number | null {
    const first = this.#packets[0];
    return this.#playing && first ? first.mediaS + this.#position / this.#rate : null;
  }

  /** `planes`: one a channel, of the same length. */
  push(planes: Float32Array[], mediaS: number): void {
    const length = planes[0]?.length ?? 0;
    if (length === 0) return;
    this.#packets.push({ planes, mediaS });
    this.#depth += length;
    const mostS = this.#recovers() ? RECOVERY_PILE_S : PILE_S;
    if (this.depthS > this.#leastS + mostS) this.#cut(this.depthS - this.#leastS - START_S);
    if (!this.#playing && this.depthS >= this.#leastS + START_S) this.#begin();
  }

  /** Drop all waiting packets; the next push starts a new timeline. */
  clear(): void {
    this.#packets.length = 0;
    this.#depth = this.#position = 0;
    this.#playing = this.#begun = false;
  }

  /** Fill `out` (one array a channel), with silence where nothing plays. */
  read(out: Float32Array[]): void {
    const length = out[0]?.length ?? 0;
    this.#readS += length / this.#rate;
    if (!this.#playing) this.#silentS += length / this.#rate;
    let index = 0;
    for (; index < length && this.#playing; index += 1) this.#sample(out, index);
    for (const plane of out) plane.fill(0, index);
    if (!this.#playing) return;
    this.#lows.push({ atS: this.#readS, depthS: this.depthS });
    if (this.#readS - this.#checkedS >= CHECK_S) this.#check();
  }

  #sample(out: Float32Array[], index: number): void {
    const packet = this.#packets[0];
    if (!packet) return this.#underrun();
    const at = Math.floor(this.#position);
    const part = this.#position - at;
    const gain = this.#faded < FADE ? (this.#faded += 1) / FADE : 1;
    out.forEach((plane, channel) => {
      const source = packet.planes[Math.min(channel, packet.planes.length - 1)]!;
      const here = source[at] ?? 0;
      plane[index] = gain * (here + part * ((source[at + 1] ?? here) - here));
    });
    this.#position += this.#speed;
    if (this.#position >= packet.planes[0]!.length) this.#drop();
  }

  #drop(): void {
    const { length } = this.#packets.shift()!.planes[0]!;
    this.#position = Math.max(0, this.#position - length);
    this.#depth -= length;
  }

  #begin(): void {
    this.#playing = true;
    this.#faded = 0;
    this.#speed = 1;
    this.#lows = [];
    if (this.#begun && this.#silentS >= STALL_S) this.#recoversUntilS = this.#readS + RECOVERY_S;
    else if (this.#begun && !this.#recovers()) {
      this.#leastS = Math.min(MOST_S, this.#leastS + AFTER_UNDERRUN_S);
      this.underruns += 1;
    }
    this.#begun = true;
    this.#calmS = this.#checkedS = this.#readS;
  }

  /** What is pushed, or was a moment ago, waited behind a stall. */
  #recovers(): boolean {
    return this.#readS < this.#recoversUntilS || (this.#begun && !this.#playing && this.#silentS >= STALL_S);
  }

  #underrun(): void {
    this.#playing = false;
    this.#silentS = 0;
  }

  #check(): void {
    this.#checkedS = this.#readS;
    if (this.#readS - this.#calmS > CALM_S) {
      this.#calmS = this.#readS;
      this.#leastS = Math.max(LEAST_S, this.#leastS - CALM_STEP_S);
    }
    this.#lows = this.#lows.filter(({ atS }) => this.#readS - atS <= WINDOW_S);
    const excessS = Math.min(...this.#lows.map(({ depthS }) => depthS)) - this.#leastS;
    if (excessS > (this.#recovers() ? RECOVERY_CUT_S : CUT_S)) return this.#cut(excessS);
    this.#speed = SPEEDS.find(({ aboveS }) => excessS > aboveS)!.speed;
  }

  #cut(byS: number): void {
    let samples = Math.floor(byS * this.#rate);
    for (let first = this.#packets[0]; first && this.#packets.length > 1; first = this.#packets[0]) {
      const left = first.planes[0]!.length - Math.floor(this.#position);
      if (left > samples) break;
      samples -= left;
      this.#depth -= first.planes[0]!.length;
      this.#packets.shift();
      this.#position = 0;
    }
    const first = this.#packets[0];
    if (first) this.#position = Math.min(this.#position + samples, first.planes[0]!.length - 1);
    this.#faded = 0;
    this.#lows = [];
  }
}
