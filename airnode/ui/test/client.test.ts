import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Problem, Remembered } from "../src/api/client.ts";

test("what has not changed is not sent again, and another address begins anew", async () => {
  const statuses: number[] = [];
  let version = 1;
  const server = createServer((request, response) => {
    const tag = `"${version}"`;
    const status = request.url === "/gone" ? 404 : request.headers["if-none-match"] === tag ? 304 : 200;
    statuses.push(status);
    response.writeHead(status, { ETag: tag, "Content-Type": "application/json" });
    response.end(status === 304 ? undefined : JSON.stringify({ version }));
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const record = new Remembered<{ version: number }>();
    const first = await record.read(`${url}/chat`, "token");
    assert.equal(await record.read(`${url}/chat`, "token"), first);
    version = 2;
    assert.deepEqual(await record.read(`${url}/chat`, "token"), { version: 2 });
    assert.deepEqual(await record.read(`${url}/hands`, "token"), { version: 2 });
    await assert.rejects(record.read(`${url}/gone`, "token"), (error) => error instanceof Problem && error.status === 404);
    assert.deepEqual(statuses, [200, 304, 200, 200, 404]);
  } finally {
    server.close();
  }
});
