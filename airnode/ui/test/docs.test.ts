import assert from "node:assert/strict";
import { test } from "node:test";
import { curlOf, endpoints, exampleOf, resolved, typeName, type Document } from "../src/docs/openapi.ts";

const DOCUMENT: Document = {
  paths: {
    "/api/rooms/{room}": {
      parameters: [{ name: "room", in: "path", required: true, schema: { type: "string" } }],
      get: { tags: ["rooms"], security: [{ bearer: [] }], responses: {} },
      post: {
        requestBody: { content: { "application/json": { schema: { $ref: "#/components/schemas/New~1Room" } } } },
        parameters: [{ $ref: "#/components/parameters/Dry", name: "", in: "" }],
        responses: {},
      },
    },
  },
  components: {
    schemas: {
      "New/Room": { type: "object", properties: { title: { type: "string", examples: ["it's"] }, tags: { type: "array", items: { type: "string" } } } },
      Loop: { $ref: "#/components/schemas/Loop" },
    },
    parameters: { Dry: { name: "dry", in: "query", required: true, schema: { type: "boolean" } } },
  },
};

test("operations with the parameters of their path", () => {
  const [get, post] = endpoints(DOCUMENT, "other");
  assert.equal(get?.tag, "rooms");
  assert.equal(post?.tag, "other");
  assert.deepEqual(post?.operation.parameters?.map(({ name }) => name), ["room", "dry"]);
});

test("curl calls", () => {
  const [get, post] = endpoints(DOCUMENT, "other");
  assert.ok(get && post);
  assert.equal(curlOf(DOCUMENT, get, "http://h"), "curl \\\n  -H \"Authorization: Bearer $TOKEN\" \\\n  'http://h/api/rooms/<room>'");
  const text = curlOf(DOCUMENT, post, "http://h");
  assert.ok(text.includes(`-d '{"title":"it'\\''s","tags":["…"]}'`), text);
  assert.ok(text.endsWith("'http://h/api/rooms/<room>?dry=…'"), text);
});

test("types in one line", () => {
  assert.equal(typeName({ type: "array", items: { $ref: "#/components/schemas/Room" } }), "Room[]");
  assert.equal(typeName({ anyOf: [{ type: "string", format: "date-time" }, { type: "null" }] }), "string (date-time) | null");
  assert.equal(typeName({ enum: ["a", 1] }), '"a" | 1');
  assert.equal(typeName(undefined), "any");
});

test("references in circles or into nothing end", () => {
  assert.deepEqual(resolved(DOCUMENT, { $ref: "#/nowhere" }), { $ref: "#/nowhere" });
  assert.equal(exampleOf(DOCUMENT, { $ref: "#/components/schemas/Loop" }), null);
});
