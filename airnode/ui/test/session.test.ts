import assert from "node:assert/strict";
import { test } from "node:test";
import { Problem } from "../src/api/client.ts";
import type { Grant, RoomState, RoomStatus } from "../src/api/types.ts";
import {
  isFeedLost,
  isStuck,
  maySourceLoad,
  OUTSIDE,
  transition,
  type Command,
  type SessionEvent,
  type SessionState,
} from "../src/live/session_state.ts";

const NOW_MS = 1_000_000;
const AWAY = new Problem(503, "unavailable", "");
const FORBIDDEN = new Problem(403, "forbidden", "");

function grantOf(node_id: string, token = "t1"): Grant {
  return { token, room: "main", title: "Physics", node_id, node_name: node_id, expires_at: 2_000, hls_url: `http://${node_id}/${token}/` } as Grant;
}

function statusOf(state: RoomState, epoch = 1): RoomStatus {
  return { room: "main", state, epoch, since: 0, live_since: 0, viewers: 1, server_time: 0, recording: false, reconnect_deadline: null, stream: null } as RoomStatus;
}

const granted = (node_id = "n1", token = "t1"): SessionEvent => ({ type: "granted", grant: grantOf(node_id, token), nowMs: NOW_MS });
const status = (state: RoomState, epoch = 1): SessionEvent => ({ type: "status", status: statusOf(state, epoch) });
const waiting = (problem: Problem | null, playing = false): SessionEvent => ({ type: "waiting", problem, retryAtMs: 5, playing });
const nodeLost = (nodeId = "n1", lasted = false): SessionEvent => ({ type: "nodeLost", nodeId, lasted });
const sourceRefused = (lasted = false): SessionEvent => ({ type: "sourceRefused", lasted });
const plain = (type: "join" | "leave" | "retry" | "tokenStale" | "feedOpened" | "feedLost" | "feedRefused"): SessionEvent => ({ type });

/** Return the state after the events, and the commands of the last one. */
function after(...events: SessionEvent[]): [SessionState, Command[]] {
  return events.reduce<[SessionState, Command[]]>(([state], event) => transition(state, event), [OUTSIDE, []]);
}

const types = (commands: Command[]) => commands.map(({ type }) => type);
const PLACED = [plain("join"), granted(), plain("feedOpened"), status("live")];
const RENEWING = [...PLACED, plain("tokenStale")];
const MOVING = [...PLACED, nodeLost()];

test("join asks at once, from every state, and forgets the class before", () => {
  for (const before of [[], PLACED, MOVING, [plain("join"), { type: "refused", problem: FORBIDDEN } as const]]) {
    const [state, commands] = after(...before, plain("join"));
    assert.deepEqual(state, { ...OUTSIDE, name: "joining" });
    assert.deepEqual(commands, [{ type: "close" }, { type: "stop" }, { type: "ask", wait: { kind: "none" } }]);
  }
});

test("leave closes everything but remembers how often the feed was refused", () => {
  const [state, commands] = after(...PLACED, plain("feedRefused"), plain("leave"));
  assert.deepEqual(state, { ...OUTSIDE, feedRefusals: 1 });
  assert.deepEqual(types(commands), ["close", "stop"]);
});

test("the first token loads the source and starts the feed", () => {
  const [state, commands] = after(plain("join"), granted());
  assert.deepEqual([state.name, state.feed, state.status, state.movedAtMs], ["placed", "connecting", null, null]);
  assert.deepEqual(types(commands), ["scheduleRenewal", "startFeed", "load"]);
});

test("a server that is away while somebody joins: stuck, and the token is still a first one", () => {
  const [stuck] = after(plain("join"), waiting(AWAY));
  assert.deepEqual([stuck.name, stuck.problem, stuck.retryAtMs, isStuck(stuck)], ["joining", AWAY, 5, true]);
  const [state, commands] = transition(stuck, granted());
  assert.deepEqual([state.name, state.problem, state.retryAtMs], ["placed", null, null]);
  assert.deepEqual(types(commands), ["scheduleRenewal", "startFeed", "load"]);
});

test("a refusal closes the session and says why", () => {
  for (const before of [[plain("join")], RENEWING, MOVING]) {
    const [state, commands] = after(...before, { type: "refused", problem: FORBIDDEN });
    assert.deepEqual(state, { ...OUTSIDE, name: "refused", refusal: FORBIDDEN });
    assert.deepEqual(types(commands), ["close", "stop"]);
  }
});

test("a stale token is renewed while the source plays on", () => {
  const [renewing, commands] = after(...RENEWING);
  assert.equal(renewing.name, "renewing");
  assert.deepEqual(commands, [{ type: "ask", wait: { kind: "none" } }]);
  const [state, next] = transition(renewing, granted("n1", "t2"));
  assert.deepEqual([state.name, state.grant?.token, state.status?.state, state.feed], ["placed", "t2", "live", "open"]);
  assert.deepEqual(types(next), ["scheduleRenewal", "adopt"]);
});

test("a stale token asks for nothing where a request is under way", () => {
  for (const before of [[], [plain("join")], RENEWING, MOVING]) {
    const [state] = after(...before);
    assert.deepEqual(transition(state, plain("tokenStale")), [state, []]);
  }
});

test("a renewal that gets no answer keeps what plays, and moves when nothing plays", () => {
  const [playing] = after(...RENEWING, waiting(AWAY, true));
  assert.deepEqual([playing.name, playing.problem], ["renewing", AWAY]);
  const [kept, commands] = transition(playing, granted());
  assert.deepEqual(types(commands), ["scheduleRenewal", "startFeed", "adopt"], "the server was away: the feed starts again");
  assert.equal(kept.status?.state, "live", "without a reload the status stays");
  const [dark] = after(...RENEWING, waiting(AWAY, false));
  assert.deepEqual([dark.name, isStuck(dark)], ["moving", true]);
  assert.equal(transition(dark, granted())[0].status, null, "the server was away: what it reported before means nothing");
});

test("a wait without a problem clears the one before", () => {
  const [state] = after(...MOVING, waiting(AWAY), waiting(null));
  assert.deepEqual([state.name, state.problem, state.retryAtMs], ["moving", null, 5]);
});

test("a lost node: avoided, its picture kept, and the class asks spread out", () => {
  for (const before of [PLACED, RENEWING]) {
    const [state, commands] = after(...before, nodeLost());
    assert.deepEqual([state.name, state.failedSources], ["moving", 1]);
    assert.deepEqual(commands, [
      { type: "avoidNode", nodeId: "n1" },
      { type: "releasePicture" },
      { type: "ask", wait: { kind: "herd" } },
    ]);
  }
});

test("a lost node that is not ours any more, or is known to be lost, changes nothing", () => {
  for (const [before, event] of [[PLACED, nodeLost("n0")], [MOVING, nodeLost()], [MOVING, sourceRefused()]] as const) {
    const [state] = after(...before);
    assert.deepEqual(transition(state, event), [state, []]);
  }
});

test("another node is loaded, and the status stays", () => {
  const [state, commands] = after(...MOVING, granted("n2"));
  assert.deepEqual([state.name, state.movedAtMs, state.status?.state], ["placed", NOW_MS, "live"]);
  assert.deepEqual(types(commands), ["scheduleRenewal", "load"]);
});

test("a refused source asks at once, and later with growing waits", () => {
  const again = (lasted: boolean) => [sourceRefused(lasted), granted()];
  const [, first] = after(...PLACED, sourceRefused());
  assert.deepEqual(first, [{ type: "releasePicture" }, { type: "ask", wait: { kind: "none" } }]);
  const [, third] = after(...PLACED, ...again(false), ...again(false), sourceRefused());
  assert.deepEqual(third.at(-1), { type: "ask", wait: { kind: "backoff", attempt: 2 } });
  const [state, lasted] = after(...PLACED, ...again(false), ...again(false), sourceRefused(true));
  assert.deepEqual(lasted.at(-1), { type: "ask", wait: { kind: "none" } });
  assert.equal(state.failedSources, 1);
});

test("a new problem with the source clears the problem of a renewal", () => {
  assert.equal(after(...RENEWING, waiting(AWAY, true), nodeLost())[0].problem, null);
});

test("retry asks at once where the page waits for a place", () => {
  for (const before of [MOVING, [...MOVING, waiting(AWAY)], [plain("join"), waiting(AWAY)]]) {
    assert.deepEqual(after(...before, plain("retry"))[1], [{ type: "ask", wait: { kind: "none" } }]);
  }
  for (const before of [[], [plain("join")], PLACED, RENEWING]) assert.deepEqual(after(...before, plain("retry"))[1], []);
});

test("a lost feed stays lost until it opens, and a token starts it again", () => {
  const lost = [...PLACED, plain("feedLost")];
  assert.equal(isFeedLost(after(...lost)[0]), true);
  const [state, commands] = after(...lost, plain("tokenStale"), granted());
  assert.equal(state.feed, "lost");
  assert.deepEqual(types(commands), ["scheduleRenewal", "startFeed", "adopt"]);
  assert.equal(state.status?.state, "live");
  assert.equal(transition(state, plain("feedOpened"))[0].feed, "open");
  assert.equal(after(...lost, nodeLost(), granted())[0].status, null, "with a reload the old status is cleared");
});

test("a refused feed asks for a token with growing waits, and a status ends them", () => {
  const refusedOnce = [...PLACED, plain("feedRefused")];
  const [first, ask] = after(...refusedOnce);
  assert.deepEqual([first.name, first.feed, isFeedLost(first)], ["renewing", "refused", false]);
  assert.deepEqual(ask, [{ type: "ask", wait: { kind: "backoff", attempt: 0 } }]);
  const [restarted, commands] = after(...refusedOnce, granted());
  assert.deepEqual(types(commands), ["scheduleRenewal", "startFeed", "adopt"]);
  assert.equal(restarted.feed, "connecting");
  const [, second] = transition(restarted, plain("feedRefused"));
  assert.deepEqual(second, [{ type: "ask", wait: { kind: "backoff", attempt: 1 } }]);
  assert.equal(transition(restarted, status("live"))[0].feedRefusals, 0);
});

test("a feed that is lost and then refused is still lost", () => {
  const [state] = after(...PLACED, plain("feedLost"), plain("feedRefused"));
  assert.deepEqual([state.feed, isFeedLost(state)], ["lostAndRefused", true]);
  assert.equal(transition(state, granted())[0].feed, "lost");
});

test("a feed that is refused while a request is under way only counts", () => {
  for (const before of [RENEWING, MOVING]) {
    const [state, commands] = after(...before, plain("feedRefused"));
    assert.deepEqual([state.feed, state.feedRefusals, commands], ["refused", 1, []]);
  }
});

test("a status directs the player when the room's state changes", () => {
  const [, first] = after(plain("join"), granted(), status("waiting"));
  assert.deepEqual(first, [{ type: "direct", former: null }]);
  assert.deepEqual(after(...PLACED, status("reconnecting"))[1], [{ type: "direct", former: "live" }]);
  assert.deepEqual(after(...PLACED, status("live"))[1], []);
});

test("a new epoch: who moves asks again, who stands still loads again", () => {
  const [moving, ask] = after(...MOVING, status("live", 2));
  assert.deepEqual([moving.name, moving.failedSources], ["moving", 0]);
  assert.deepEqual(ask, [{ type: "ask", wait: { kind: "herd" } }]);
  assert.deepEqual(types(after(...MOVING, waiting(AWAY), status("live", 2))[1]), ["refreshQuietSource"]);
  assert.deepEqual(types(after(...PLACED, status("reconnecting"), status("live", 2))[1]), ["direct", "refreshQuietSource"]);
  assert.deepEqual(after(...PLACED, status("ended", 2))[1], [{ type: "direct", former: "live" }], "only a live one counts");
});

test("a class is live since it began, not since the teacher came back", () => {
  const at = (state: RoomState, since: number): SessionEvent => ({ type: "status", status: { ...statusOf(state), since } });
  const began = [plain("join"), granted(), at("live", 100)];
  const back = [...began, at("reconnecting", 200), at("live", 210)];
  assert.equal(after(...began)[0].liveSince, 100);
  assert.equal(after(...back)[0].liveSince, 100);
  assert.equal(after(...back, at("ended", 300))[0].liveSince, null);
  assert.equal(after(...back, at("ended", 300), at("live", 400))[0].liveSince, 400);
  assert.equal(after(plain("join"), granted(), at("reconnecting", 200), at("live", 210))[0].liveSince, 210);
  const told: SessionEvent = { type: "status", status: { ...statusOf("live"), since: 210, live_since: 100 } };
  assert.equal(after(plain("join"), granted(), told)[0].liveSince, 100, "after a reload");
  assert.equal(after(...began, { type: "status", status: { ...statusOf("live"), since: 210, live_since: 210 } })[0].liveSince, 100, "another origin");
});

test("outside of a room nothing but join does anything", () => {
  for (const before of [[], [plain("join"), { type: "refused", problem: FORBIDDEN } as const]]) {
    const [state] = after(...before);
    const late = [granted(), waiting(AWAY), status("live"), nodeLost(), sourceRefused(), plain("feedLost"), plain("tokenStale"), plain("retry")];
    for (const event of late) assert.deepEqual(transition(state, event), [state, []]);
  }
});

/** Return numbers from 0 to 1 that are the same for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function anyEvent(random: () => number): SessionEvent {
  const pick = <T>(...values: T[]): T => values[Math.floor(random() * values.length)] as T;
  const node = pick("n1", "n2");
  const lasted = pick(true, false);
  return pick<SessionEvent>(
    // Joining twice as often as leaving, so that most sequences get somewhere.
    ...[plain("join"), plain("join"), plain("leave"), plain("retry"), plain("tokenStale")],
    ...[plain("feedOpened"), plain("feedLost"), plain("feedRefused")],
    ...[granted(node), granted(node), granted(node), { type: "refused", problem: FORBIDDEN } as const],
    ...[waiting(pick(AWAY, null), lasted), nodeLost(node, lasted), sourceRefused(lasted)],
    status(pick<RoomState>("waiting", "live", "live", "reconnecting", "ended"), pick(1, 2, 3)),
  );
}

const BUSY = ["joining", "renewing", "moving"];

test("whatever happens in whatever order, the state makes sense", () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 400; seed += 1) {
    const random = randomOf(seed);
    let state: SessionState = OUTSIDE;
    /** A request is under way, by the commands alone. */
    let asking = false;
    for (let step = 0; step < 60; step += 1) {
      const event = anyEvent(random);
      // Only a request that is under way is answered, and only a feed that runs reports.
      if (["granted", "refused", "waiting"].includes(event.type) && !asking) continue;
      const former: SessionState = state;
      const frozen = JSON.stringify(former);
      const [next, commands]: [SessionState, Command[]] = transition(former, event);
      assert.equal(JSON.stringify(former), frozen, "a transition leaves its state as it was");
      state = next;
      seen.add(state.name).add(state.feed);
      if (event.type === "granted" || commands.some(({ type }) => type === "close")) asking = false;
      if (commands.some(({ type }) => type === "ask")) asking = true;
      const where = `seed ${seed}, step ${step}: ${event.type} in ${former.name}`;
      assert.equal(BUSY.includes(state.name), asking, `${where}: a request is under way`);
      assert.equal(state.grant !== null, ["placed", "renewing", "moving"].includes(state.name), `${where}: a token is held`);
      assert.equal(state.refusal !== null, state.name === "refused", `${where}: a refusal`);
      assert.ok(state.name !== "placed" || (state.problem === null && state.retryAtMs === null), `${where}: no problem once placed`);
      assert.ok(state.grant !== null || (state.status === null && state.feed === "connecting"), `${where}: no feed without a token`);
      assert.ok(!maySourceLoad(state) || !isStuck(state), where);
      if (isFeedLost(former) && former.grant && state.grant) {
        assert.ok(isFeedLost(state) || event.type === "feedOpened", `${where}: a lost feed stays lost until it opens`);
      }
      assert.ok(commands.filter(({ type }) => type === "ask").length <= 1, `${where}: one request at a time`);
      if (commands.some(({ type }) => type === "load" || type === "adopt")) assert.ok(maySourceLoad(state), where);
      if (former.name !== "moving" && state.name === "moving" && event.type !== "waiting") {
        assert.ok(types(commands).includes("releasePicture"), `${where}: the picture is kept`);
      }
    }
  }
  const all = ["outside", "joining", "placed", "renewing", "moving", "refused", "connecting", "open", "lost", "lostAndRefused"];
  for (const name of all) assert.ok(seen.has(name), `${name} was reached`);
});
