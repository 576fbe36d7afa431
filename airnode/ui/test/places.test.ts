import assert from "node:assert/strict";
import { test } from "node:test";
import { Problem } from "../src/api/client.ts";
import { Asking } from "../src/live/asking.ts";
import { FailedNodes } from "../src/live/failed.ts";
import { NodeProbe, reach } from "../src/live/node_probe.ts";
import { Silence } from "../src/player/silence.ts";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** Asks with a clock that only counts; `answers` are given one after another, then it is given. */
async function ask(answers: Problem[], random: number, firstMs = 0) {
  const waits: number[] = [];
  const told: (Problem | null)[] = [];
  let tries = 0;
  const refused = await new Promise<Problem | null>((resolve) => {
    const asking = new Asking(
      {
        attempt: async () => {
          const answer = answers[tries++] ?? null;
          if (answer === null) resolve(null);
          return answer;
        },
        refused: resolve,
        waiting: (problem) => void told.push(problem),
      },
      async (ms) => void waits.push(ms),
      () => random,
    );
    asking.begin(firstMs);
  });
  return { waits, told, tries, refused };
}

const away = (retryAfterS: number | null = null) => new Problem(503, "unavailable", "", retryAfterS);

test("a minute of 503: waits double up to six seconds, and it never gives up", async () => {
  const { waits, tries, refused } = await ask(Array.from({ length: 14 }, () => away()), 1);
  assert.deepEqual(waits.slice(0, 6), [600, 1_200, 2_400, 4_800, 6_000, 6_000]);
  assert.equal(tries, 15);
  assert.equal(refused, null);
});

test("Retry-After is honoured, and told with what is wrong", async () => {
  const { waits, told } = await ask([away(10), away(3)], 0.5, 700);
  assert.deepEqual(waits, [700, 11_250, 3_500]);
  assert.deepEqual(told.map((problem) => problem?.retryAfterS ?? null), [null, 10, 3]);
});

test("a refusal ends it", async () => {
  const { tries, refused } = await ask([away(), new Problem(403, "forbidden", "")], 0);
  assert.equal(tries, 2);
  assert.equal(refused?.code, "forbidden");
});

test("a newer reason replaces the wait of an older one", async () => {
  const answers: string[] = [];
  await new Promise<void>((granted) => {
    const asking = new Asking({
      attempt: async () => {
        answers.push(answers.length === 0 ? "503" : "200");
        if (answers.length === 1) return away(3_600);
        granted();
        return null;
      },
      refused: () => assert.fail(),
      waiting: () => void setTimeout(() => asking.begin(), 0),
    });
    asking.begin();
  });
  assert.deepEqual(answers, ["503", "200"]);
});

test("nodes that failed are named for twenty seconds, the latest four", () => {
  const failed = new FailedNodes();
  assert.equal(failed.listed(0), undefined);
  for (const [index, name] of ["a", "b", "c", "d", "e"].entries()) failed.add(name, index * 1_000);
  assert.equal(failed.listed(5_000), "b,c,d,e");
  failed.add("b", 6_000);
  assert.equal(failed.listed(22_500), "d,e,b");
  assert.equal(failed.listed(30_000), undefined);
});

test("a stream that falls silent is noticed once a while, a flowing or paused one never", () => {
  const silence = new Silence();
  const named: number[] = [];
  for (let ms = 0; ms < 8_000; ms += 250) if (silence.check(ms, Math.min(ms, 3_000), true)) named.push(ms);
  assert.deepEqual(named, [4_250, 5_500, 6_750]);
  assert.ok(silence.lastedMs(8_000) >= 4_000);
  for (let ms = 8_000; ms < 12_000; ms += 250) assert.equal(silence.check(ms, 3_000, false), false);
  assert.equal(silence.lastedMs(12_000), 0);
});

test("a page that slept is not mistaken for a silent node", () => {
  const silence = new Silence();
  silence.check(0, 1, true);
  assert.equal(silence.check(60_000, 1, true), false);
  assert.equal(silence.check(60_250, 1, true), false);
});

async function listening(answer: boolean): Promise<[Server, string]> {
  const server = createServer((_request, response) => answer && response.writeHead(302, { Location: "/elsewhere" }).end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return [server, `http://127.0.0.1:${(server.address() as AddressInfo).port}/`];
}

test("a node that answers, one that is gone, and one that says nothing", async () => {
  const { signal } = new AbortController();
  const [living, url] = await listening(true);
  assert.equal(await reach(url, signal), "there");
  living.closeAllConnections();
  await new Promise((resolve) => living.close(resolve));
  assert.equal(await reach(url, signal), "gone");
  const [mute, muteUrl] = await listening(false);
  assert.equal(await reach(muteUrl, signal), "silent");
  mute.closeAllConnections();
  await new Promise((resolve) => mute.close(resolve));
});

test("a probe asks one question at a time, and a slow answer counts only while no media comes", async () => {
  const probe = new NodeProbe();
  const run = new AbortController();
  const [living, url] = await listening(true);
  assert.equal(await probe.isLost(url, () => 9_999, run.signal), false);
  living.closeAllConnections();
  await new Promise((resolve) => living.close(resolve));
  assert.equal(await probe.isLost(url, () => 0, run.signal), true, "nobody listens there");
  const [mute, muteUrl] = await listening(false);
  const first = probe.isLost(muteUrl, () => 9_999, run.signal);
  assert.equal(await probe.isLost(muteUrl, () => 9_999, run.signal), false, "one question at a time");
  assert.equal(await first, true);
  assert.equal(await probe.isLost(muteUrl, () => 100, run.signal), false, "media came in the meantime");
  const left = probe.isLost(muteUrl, () => 9_999, run.signal);
  run.abort();
  assert.equal(await left, false, "nobody wants to know any more");
  mute.closeAllConnections();
  await new Promise((resolve) => mute.close(resolve));
});
