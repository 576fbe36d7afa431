import assert from "node:assert/strict";
import { test } from "node:test";
import { FULL_BPS, MIN_BPS } from "../src/publish/ladder.ts";
import { RateControl, type RateDecision } from "../src/publish/ratecontrol.ts";

const TICK_MS = 100;
const SOUND_BPS = 100_000;

/** An encoder that makes what it is told to, and an uplink that takes so much a second with so long a way. */
class Simulation {
  readonly control = new RateControl(720);
  decision: RateDecision;
  nowMs = 0;
  uplinkBps: number;
  wayMs: number;
  /** [message, bytes left to send] and [message, bytes, time of its acknowledgement]. */
  #queue: [number, number][] = [];
  #underWay: [number, number, number][] = [];
  #sentMessages = 0;
  #sentBytes = 0;
  #acked = { messages: 0, bytes: 0 };
  lateMs: number[] = [];

  constructor(uplinkBps: number, wayMs = 40) {
    this.uplinkBps = uplinkBps;
    this.wayMs = wayMs;
    this.decision = this.#decide();
  }

  run(seconds: number): void {
    for (const end = this.nowMs + seconds * 1_000; this.nowMs < end; this.nowMs += TICK_MS) this.#tick();
  }

  #tick(): void {
    const { bitrateBps, rung, skip } = this.decision;
    const frames = skip ? 0 : Math.round((rung.frameRate * TICK_MS) / 1_000);
    for (let index = 0; index < frames; index += 1) this.#send(bitrateBps / 8 / rung.frameRate);
    this.#send((SOUND_BPS / 8) * (TICK_MS / 1_000));
    let takes = (this.uplinkBps / 8) * (TICK_MS / 1_000);
    while (takes > 0 && this.#queue[0]) {
      const part = Math.min(takes, this.#queue[0][1]);
      takes -= part;
      this.#queue[0][1] -= part;
      if (this.#queue[0][1] <= 0) this.#underWay.push([this.#queue.shift()![0], 0, this.nowMs + this.wayMs]);
    }
    while (this.#underWay[0] && this.#underWay[0][2] <= this.nowMs) {
      this.#acked.messages = this.#underWay.shift()![0];
      this.#acked.bytes = this.#bytesOf.get(this.#acked.messages)!;
    }
    this.decision = this.#decide();
    this.lateMs.push(this.control.lateMs);
  }

  readonly #bytesOf = new Map<number, number>();

  #send(bytes: number): void {
    this.#sentMessages += 1;
    this.#sentBytes += bytes;
    this.#bytesOf.set(this.#sentMessages, this.#sentBytes);
    this.#queue.push([this.#sentMessages, bytes]);
  }

  #decide(): RateDecision {
    return this.control.update({
      nowMs: this.nowMs,
      sentMessages: this.#sentMessages,
      sentBytes: this.#sentBytes,
      ackedMessages: this.#acked.messages,
      ackedBytes: this.#acked.bytes,
      bufferedBytes: this.#queue.reduce((sum, [, left]) => sum + left, 0),
    });
  }
}

test("a good uplink keeps the full bit rate", () => {
  const simulation = new Simulation(20_000_000);
  simulation.run(30);
  assert.equal(simulation.decision.bitrateBps, FULL_BPS[720]);
  assert.equal(simulation.decision.rung.frameRate, 30);
  assert.equal(simulation.decision.skip, false);
});

for (const uplinkBps of [1_500_000, 800_000, 400_000]) {
  test(`an uplink of ${uplinkBps / 1000} kbit/s is followed and used`, () => {
    const simulation = new Simulation(uplinkBps);
    simulation.run(60);
    simulation.lateMs = [];
    let sum = 0;
    for (let second = 0; second < 60; second += 1) {
      simulation.run(1);
      sum += simulation.decision.bitrateBps;
    }
    const mean = sum / 60 + SOUND_BPS;
    assert.ok(mean < uplinkBps * 1.1 && mean > uplinkBps * 0.5, `mean ${Math.round(mean)}`);
    const late = [...simulation.lateMs].sort((a, b) => a - b);
    assert.ok(late[Math.floor(late.length / 2)]! < 350, `median ${late[Math.floor(late.length / 2)]}`);
    assert.ok(late.at(-1)! < 2_500, `most ${late.at(-1)}`);
  });
}

test("bit rate, then frame rate, then size give way, and come back", () => {
  const simulation = new Simulation(20_000_000);
  simulation.run(5);
  const seen: string[] = [];
  const note = () => {
    const { rung } = simulation.decision;
    const now = `${rung.height}@${rung.frameRate}`;
    if (seen.at(-1) !== now) seen.push(now);
  };
  for (const uplinkBps of [1_500_000, 900_000, 650_000, 300_000]) {
    simulation.uplinkBps = uplinkBps;
    for (let step = 0; step < 200; step += 1) {
      simulation.run(0.1);
      note();
    }
  }
  assert.equal(seen[0], "720@30");
  const firstSmaller = seen.findIndex((each) => !each.startsWith("720"));
  assert.ok(firstSmaller > 0);
  assert.ok(seen.slice(0, firstSmaller).includes("720@15"), seen.join(" "));
  simulation.uplinkBps = 20_000_000;
  simulation.run(90);
  assert.equal(simulation.decision.bitrateBps, FULL_BPS[720]);
  assert.equal(simulation.decision.rung.height, 720);
  assert.equal(simulation.decision.rung.frameRate, 30);
});

test("an uplink that stalls sends no frames that come too late", () => {
  const simulation = new Simulation(5_000_000);
  simulation.run(10);
  simulation.uplinkBps = 0;
  simulation.run(2);
  assert.equal(simulation.decision.skip, true);
  simulation.uplinkBps = 5_000_000;
  simulation.run(3);
  assert.equal(simulation.decision.skip, false);
  assert.ok(simulation.decision.bitrateBps >= MIN_BPS);
});

test("a long way is no slow uplink", () => {
  const simulation = new Simulation(10_000_000, 280);
  simulation.run(30);
  assert.equal(simulation.decision.bitrateBps, FULL_BPS[720]);
});

test("a new connection begins without what was under way", () => {
  const simulation = new Simulation(0);
  simulation.run(3);
  const before = simulation.decision.bitrateBps;
  simulation.control.reconnected(simulation.nowMs);
  const decision = simulation.control.update({
    nowMs: simulation.nowMs + 100,
    sentMessages: 0,
    sentBytes: 0,
    ackedMessages: 0,
    ackedBytes: 0,
    bufferedBytes: 0,
  });
  assert.equal(decision.skip, false);
  assert.equal(decision.bitrateBps, before);
});
