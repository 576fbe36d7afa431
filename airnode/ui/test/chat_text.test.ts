import assert from "node:assert/strict";
import { test } from "node:test";
import { chatAddress } from "../src/chat/connection.ts";
import { incoming } from "../src/chat/incoming.ts";
import { parseOffset } from "../src/chat/offsets.ts";
import { pieces } from "../src/chat/text.ts";

const links = (text: string) => pieces(text).flatMap(({ href, text }) => (href === null ? [] : [text]));

test("only http and https are links", () => {
  assert.deepEqual(links("see https://example.org/a?b=c#d and http://example.org"), ["https://example.org/a?b=c#d", "http://example.org"]);
  for (const text of ["javascript:alert(1)", "JaVaScRiPt://x%0aalert(1)", "data:text/html,<b>", "ftp://example.org", "xhttps://", "https://", "www.example.org"]) {
    assert.deepEqual(links(text), [], text);
  }
});

test("no piece of the text is lost or changed", () => {
  for (const text of ["", "a", "https://a.b", "<img src=x onerror=alert(1)> https://a.b/<script>", "한글 https://a.b/글, 끝\nnext (https://a.b/(c)).", "https://a.b https://"]) {
    assert.equal(pieces(text).map((piece) => piece.text).join(""), text);
  }
});

test("what ends the sentence does not belong to the link; a bracket that the link opened does", () => {
  assert.deepEqual(links("(https://a.b/c). https://a.b/c, 'https://a.b/d' https://a.b/x_(y)"), ["https://a.b/c", "https://a.b/c", "https://a.b/d", "https://a.b/x_(y)"]);
  assert.deepEqual(links("https://a.b/c를"), ["https://a.b/c를"]);
});

test("the chat of a node lies below the base of its media", () => {
  assert.deepEqual(chatAddress("http://h:8888/live/main/index.m3u8?jwt=x"), { origin: "http://h:8888", path: "/socket.io/" });
  assert.deepEqual(chatAddress("https://h/media/n1/live/main/index.m3u8"), { origin: "https://h", path: "/media/n1/socket.io/" });
});

test("an offset has an epoch and a number", () => {
  assert.deepEqual(parseOffset("1732:5"), { epoch: "1732", number: 5 });
  for (const odd of [":5", "5", "a:", "a:b", null, 5]) assert.equal(parseOffset(odd), null);
});

test("events of another room and unreadable ones mean nothing", () => {
  assert.equal(incoming("typing", [{ room: "b", users: [] }], "a"), null);
  for (const args of [[], [null], ["text"], [3]]) assert.equal(incoming("message", args, "a"), null);
  assert.equal(incoming("unknown", [{}], "a"), null);
  const body = { id: "m", user: { id: "u", name: "n", role: "student" }, content: "c", at: 1 };
  const event = incoming("message", [body, "e:4"], "a");
  assert.equal(event?.type === "message" && event.message.offset, "e:4");
  const apart = incoming("message", [{ ...body, epoch: "e", offset: 5 }], "a");
  assert.equal(apart?.type === "message" && apart.message.offset, "e:5");
});
