/** The session against an HTTP server: what it sends, and what it does with the answers. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import type { TokenRequest } from "../src/api/types.ts";
import { Session } from "../src/live/session.ts";
import type { PlayerCommand, SessionState } from "../src/live/session_state.ts";

const STUDENT: TokenRequest = { user_type: "student", user_id: "u1", code: "ABC123" };

interface Asked {
  body: Record<string, string>;
  bearer: string | undefined;
}

const asked: Asked[] = [];
const feeds = new Set<ServerResponse>();
/** What the next request for a token is answered with, in place of a token. */
let failures: number[] = [];
let nodeId = "n1";

async function bodyOf(request: IncomingMessage): Promise<Record<string, string>> {
  let text = "";
  for await (const piece of request) text += String(piece);
  return JSON.parse(text) as Record<string, string>;
}

const status = (epoch = 1) => ({ room: "main", state: "live", epoch, since: 100, viewers: 1, server_time: Date.now() / 1000 });

const server = createServer(async (request, response) => {
  if (request.url?.endsWith("/events")) {
    feeds.add(response);
    request.on("close", () => feeds.delete(response));
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    return void response.write(`event: room\ndata: ${JSON.stringify(status())}\n\n`);
  }
  if (request.url !== "/api/token") return void response.end(JSON.stringify(status()));
  asked.push({ body: await bodyOf(request), bearer: request.headers.authorization });
  const failure = failures.shift();
  if (failure) return void response.writeHead(failure, { "Content-Type": "application/problem+json" }).end(`{"code":"c${failure}"}`);
  const token = `t${asked.length}`;
  const expires_at = Date.now() / 1000 + 600;
  response.end(JSON.stringify({ token, room: "main", title: "", node_id: nodeId, node_name: nodeId, expires_at, hls_url: `http://${nodeId}/` }));
});

const realFetch = globalThis.fetch;

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  // The pages ask for addresses without a host, which only a browser completes.
  globalThis.fetch = (path, init) => realFetch(new URL(String(path), base), init);
});

after(async () => {
  globalThis.fetch = realFetch;
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

beforeEach(() => {
  asked.length = 0;
  feeds.clear();
  failures = [];
  nodeId = "n1";
});

class Watched {
  readonly commands: PlayerCommand[] = [];
  readonly session = new Session({
    playing: () => false,
    control: (command) => void this.commands.push(command),
    changed: () => this.#waiting?.(),
  });
  #waiting: (() => void) | null = null;

  /** Wait for a state. */
  async until(reached: (state: SessionState) => boolean): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting = () => reached(this.session.state) && resolve();
      this.#waiting();
    });
  }

  async join(): Promise<void> {
    this.session.join(STUDENT);
    await this.until(({ name, status, feed }) => name === "placed" && status !== null && feed === "open");
  }

  leave(): void {
    this.session.dispatch({ type: "leave" });
  }
}

test("a student joins: token, feed and clock", async () => {
  const watched = new Watched();
  await watched.join();
  assert.deepEqual(asked, [{ body: STUDENT, bearer: undefined }]);
  assert.equal(watched.session.state.status?.state, "live");
  assert.equal(watched.session.clock.known, true);
  assert.deepEqual(watched.commands.map(({ type }) => type), ["stop", "load", "direct"]);
  watched.leave();
  assert.equal(watched.session.state.name, "outside");
});

test("a renewal sends the present token, and its answer is adopted", async () => {
  const watched = new Watched();
  await watched.join();
  watched.session.dispatch({ type: "tokenStale" });
  await watched.until(({ grant }) => grant?.token === "t2");
  assert.equal(asked[1]?.bearer, "Bearer t1");
  assert.equal(watched.commands.at(-1)?.type, "adopt");
  assert.equal(feeds.size, 1, "the feed stays open");
  watched.leave();
});

test("a lost node is named in the request for another place", async () => {
  const watched = new Watched();
  await watched.join();
  nodeId = "n2";
  watched.session.dispatch({ type: "nodeLost", nodeId: "n1", lasted: true });
  await watched.until(({ grant }) => grant?.node_id === "n2");
  assert.equal(asked[1]?.body["avoid"], "n1");
  assert.equal(watched.commands.at(-1)?.type, "load");
  assert.ok(watched.session.state.movedAtMs !== null);
  watched.leave();
});

test("a server that is away is asked again until it answers", async () => {
  const watched = new Watched();
  failures = [503];
  watched.session.join(STUDENT);
  await watched.until(({ problem }) => problem?.code === "c503");
  assert.equal(watched.session.state.name, "joining");
  watched.session.dispatch({ type: "retry" });
  await watched.until(({ name }) => name === "placed");
  assert.equal(asked.length, 2);
  watched.leave();
});

test("a wrong code ends it", async () => {
  const watched = new Watched();
  failures = [404];
  watched.session.join(STUDENT);
  await watched.until(({ name }) => name === "refused");
  assert.equal(watched.session.state.refusal?.code, "c404");
  assert.equal(watched.session.signal.aborted, false, "ready for the next try");
  await watched.join();
  watched.leave();
});

test("who leaves closes the feed", async () => {
  const watched = new Watched();
  await watched.join();
  const closed = [...feeds].map((feed) => new Promise((resolve) => feed.once("close", resolve)));
  watched.leave();
  await Promise.all(closed);
});
