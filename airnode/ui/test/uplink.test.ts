import assert from "node:assert/strict";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { WebSocketServer, type WebSocket as Peer } from "ws";
import { PROTOCOL } from "../src/publish/framing.ts";
import { Uplink, type PlaceAnswer } from "../src/publish/uplink.ts";

/** A node that answers publishers as the test says: it accepts, or refuses with this status. */
class Node {
  readonly id: string;
  readonly keys: string[] = [];
  readonly messages: Uint8Array[] = [];
  readonly texts: Record<string, unknown>[] = [];
  refuses: { status: number; code: string; retry_after_s?: number } | null = null;
  peers: Peer[] = [];
  #server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => PROTOCOL });

  private constructor(id: string) {
    this.id = id;
    this.#server.on("connection", (peer) => this.#serve(peer));
  }

  static async start(id: string): Promise<Node> {
    const node = new Node(id);
    await once(node.#server, "listening");
    return node;
  }

  get place() {
    const { port } = this.#server.address() as { port: number };
    return { url: `ws://127.0.0.1:${port}/publish`, key: "the-key", nodeId: this.id };
  }

  /** Cut all connections, as a lost network does. */
  cut(): void {
    for (const peer of this.peers) peer.terminate();
    this.peers = [];
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #serve(peer: Peer): void {
    this.peers.push(peer);
    peer.on("message", (data, isBinary) => {
      if (isBinary) return void this.messages.push(new Uint8Array(data as Buffer));
      const text = JSON.parse(String(data)) as Record<string, unknown>;
      this.texts.push(text);
      if (text["type"] !== "publish") return;
      this.keys.push(String(text["key"]));
      if (this.refuses) {
        peer.send(JSON.stringify({ type: "refused", detail: "No.", ...this.refuses }));
        peer.close(4000 + this.refuses.status);
      } else peer.send(JSON.stringify({ type: "accepted", room: "r", key_frame_interval_s: 2, grace_s: 60 }));
    });
  }
}

interface Scene {
  uplink: Uplink;
  states: string[];
  asked: string[];
  accepted: number[];
  ended: Promise<unknown>;
  until(condition: () => boolean): Promise<void>;
}

function begin(context: TestContext, locate: (avoid: string) => PlaceAnswer): Scene {
  const states: string[] = [];
  const asked: string[] = [];
  const accepted: number[] = [];
  let changed = () => {};
  const uplink = new Uplink("Test 1", {
    locate: async (avoid) => (asked.push(avoid), locate(avoid)),
    state: (state) => {
      if (states.at(-1) !== state) states.push(state);
      changed();
    },
    accepted: (keyIntervalS) => accepted.push(keyIntervalS),
    keyWanted: () => undefined,
    remark: () => undefined,
  });
  const ended = uplink.run();
  context.after(() => uplink.stop());
  const until = async (condition: () => boolean) => {
    const limit = AbortSignal.timeout(10_000);
    while (!condition()) {
      limit.throwIfAborted();
      await new Promise<void>((resolve) => {
        changed = resolve;
        setTimeout(resolve, 20);
      });
    }
  };
  return { uplink, states, asked, accepted, ended, until };
}

test("it publishes with the key in the first message, and only after it was accepted", async (context) => {
  const node = await Node.start("n1");
  const { uplink, states, accepted, until } = begin(context, () => ({ place: node.place }));
  uplink.send(new Uint8Array([1]));
  await until(() => uplink.live);
  uplink.send(new Uint8Array([2, 2]));
  await until(() => node.messages.length === 1);
  assert.deepEqual([...node.messages[0]!], [2, 2]);
  assert.deepEqual([uplink.sentMessages, uplink.sentBytes], [1, 2]);
  assert.deepEqual(node.texts[0], { type: "publish", key: "the-key", encoder: "Test 1" });
  assert.deepEqual([states, accepted], [["connecting", "live"], [2]]);
  await node.stop();
});

test("a lost connection goes back to the same node first, without asking", async (context) => {
  const node = await Node.start("n1");
  const { uplink, states, asked, until } = begin(context, () => ({ place: node.place }));
  await until(() => uplink.live);
  node.cut();
  await until(() => states.at(-1) === "reconnecting");
  await until(() => uplink.live);
  assert.deepEqual(asked, [""]);
  assert.deepEqual(states, ["connecting", "live", "reconnecting", "live"]);
  await node.stop();
});

test("after a laptop was closed for a while a new connection is made at once, though the old one says nothing", async (context) => {
  const node = await Node.start("n1");
  const { uplink, states, asked, until } = begin(context, () => ({ place: node.place }));
  await until(() => uplink.live);
  // The clock went on while the timers stood still.
  const now = performance.now.bind(performance);
  const wokeMs = now();
  context.mock.method(performance, "now", () => now() + 60_000);
  await until(() => node.keys.length === 2 && uplink.live);
  assert.ok(now() - wokeMs < 3_000);
  assert.deepEqual([asked, states], [[""], ["connecting", "live", "reconnecting", "live"]]);
  await node.stop();
});

test("a node that is gone is avoided", async (context) => {
  const first = await Node.start("n1");
  const second = await Node.start("n2");
  const { uplink, asked, until } = begin(context, (avoid) => ({ place: avoid.includes("n1") ? second.place : first.place }));
  await until(() => uplink.live);
  await first.stop();
  await until(() => second.keys.length === 1 && uplink.live);
  assert.deepEqual(asked, ["", "n1"]);
  await second.stop();
});

test("a node that shuts down sends to another one at once", async (context) => {
  const first = await Node.start("n1");
  const second = await Node.start("n2");
  first.refuses = { status: 503, code: "draining", retry_after_s: 0 };
  const { uplink, asked, until } = begin(context, (avoid) => ({ place: avoid.includes("n1") ? second.place : first.place }));
  await until(() => uplink.live);
  assert.deepEqual(asked, ["", "n1"]);
  await Promise.all([first.stop(), second.stop()]);
});

for (const [status, code] of [[403, "forbidden"], [409, "conflict"], [400, "framing_violation"]] as const) {
  test(`a refusal with ${status} ends it`, async (context) => {
    const node = await Node.start("n1");
    node.refuses = { status, code };
    const { ended } = begin(context, () => ({ place: node.place }));
    assert.deepEqual(await ended, { code, detail: "No." });
    await node.stop();
  });
}

test("the node may hold the lost connection for a moment", async (context) => {
  const node = await Node.start("n1");
  const { uplink, until } = begin(context, () => ({ place: node.place }));
  await until(() => uplink.live);
  node.refuses = { status: 409, code: "conflict" };
  node.cut();
  await until(() => node.keys.length === 2);
  node.refuses = null;
  await until(() => uplink.live);
  await node.stop();
});

test("a class that was ended elsewhere is not begun again", async (context) => {
  const node = await Node.start("n1");
  const { uplink, ended, until } = begin(context, () => ({ place: node.place }));
  await until(() => uplink.live);
  node.peers[0]!.send(JSON.stringify({ type: "refused", code: "class_over", detail: "Over.", status: 409 }));
  node.peers[0]!.close(4409);
  assert.deepEqual(await ended, { code: "class_over", detail: "Over." });
  assert.equal(node.keys.length, 1);
  await node.stop();
});

test("a cluster that refuses the teacher ends it; one without a free node is asked again", async (context) => {
  const trouble = { code: "unauthenticated", detail: "Sign in." };
  const refused = begin(context, () => ({ trouble, hopeless: true, retryAfterS: null }));
  assert.deepEqual(await refused.ended, trouble);
  const node = await Node.start("n1");
  let turn = 0;
  const later = begin(context, () => {
    turn += 1;
    return turn === 1 ? { trouble: { code: "no_healthy_nodes", detail: "" }, hopeless: false, retryAfterS: 0 } : { place: node.place };
  });
  await later.until(() => later.uplink.live);
  assert.equal(turn, 2);
  await node.stop();
});

test("a stop ends the class at the node", async (context) => {
  const node = await Node.start("n1");
  const { uplink, ended, until } = begin(context, () => ({ place: node.place }));
  await until(() => uplink.live);
  uplink.stop();
  assert.equal(await ended, null);
  await until(() => node.texts.some(({ type }) => type === "stop"));
  await node.stop();
});
