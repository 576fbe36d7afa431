/**
 * The pages' development server: airnode's HTTP API with one class in memory, and a media node.
 *
 * Class code ABC123; the secret of teacher and admin is "secret". `POST /dev/<what>` causes any state; see README.md.
 */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { extname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { createServer as createVite } from "vite";
import type { Recording, RecordingState, RoomState, StreamInfo } from "../src/api/types.ts";
import { nodeList, order, pipelineStatus, streamList } from "./admin.ts";
import { DevChat, holders } from "./chat.ts";
import { DevClasses } from "./classes.ts";
import { MediaNode } from "./media.ts";
import { sessionList, sessionRecord, type Kept } from "./record.ts";

const { values: options } = parseArgs({
  options: { port: { type: "string", default: "5173" }, built: { type: "boolean", default: false }, ttl: { type: "string", default: "3600" } },
});
const PORT = Number(options.port);
const GRACE_S = 60;
const STATIC = resolve(import.meta.dirname, "../../web/static");
const PAGES: Record<string, string> = { "/": "index.html", "/class": "class.html", "/studio": "studio.html", "/api/docs": "docs.html" };
const TYPES: Record<string, string> = { ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html; charset=utf-8" };
/** The policy airnode serves the pages with. */
const CSP =
  "default-src 'self'; connect-src 'self' http: https: ws: wss:; media-src 'self' blob: http: https:; img-src 'self' data:; style-src 'self'; script-src 'self'; worker-src 'self' blob:; frame-ancestors 'none'";

const media = new MediaNode();
const chat = new DevChat();
media.onServer = (made) => chat.attach(made);
const feeds = new Set<ServerResponse>();
const classes = new DevClasses();
let state: RoomState = "waiting";
let since = Date.now() / 1000;
let epoch = 0;
let keyNumber = 1;
let tokenNumber = 0;
let tokenFailure: { status: number; code: string; retryAfter?: string } | null = null;
let recordingMode: RecordingState["mode"] = "on-request";
let pipelineRuns = true;
let kept: Kept = "none";
let oddities: Partial<StreamInfo> = {};

function setState(next: RoomState): void {
  if (next === "live" && state !== "live") {
    media.publish();
    epoch += 1;
  }
  if (next !== "live") media.unpublish();
  if (next === "waiting" || next === "ended") media.record(false);
  if (next === "waiting" || next === "ended") media.forget();
  state = next;
  since = Date.now() / 1000;
  for (const feed of feeds) send(feed);
}

function status() {
  const now = Date.now() / 1000;
  const stream: StreamInfo = {
    ...{ width: 1280, height: 720, frame_rate: 30, bitrate_bps: 2_480_000 + 60_000 * Math.sin(now), video_codecs: "avc1.42c01f" },
    ...{ audio_codecs: "mp4a.40.2", key_frame_interval_s: 1, encoder: "Lavf59.27.100", uptime_s: now - since, dropped_samples: 0, findings: [] },
    ...oddities,
  };
  return {
    ...{ room: "main", state, since, viewers: feeds.size, epoch, server_time: now, recording: media.running !== null },
    reconnect_deadline: state === "reconnecting" ? since + GRACE_S : null,
    stream: state === "live" || state === "reconnecting" ? stream : null,
  };
}

function send(feed: ServerResponse): void {
  feed.write(`event: room\ndata: ${JSON.stringify(status())}\n\n`);
}

const HOUR_S = 3_600;
/** Two that rarely occur: one whose node is unreachable, and one that was interrupted. */
const oddRecordings: Recording[] = [
  { ...recordingOf("x1", -26 * HOUR_S, 2_712, 841_000_000), available: false },
  { ...recordingOf("x2", -50 * HOUR_S, 1_344, 402_000_000), status: "interrupted" },
];

function recordingOf(id: string, fromS: number, durationS: number, size: number): Recording {
  const started = Date.now() / 1000 + fromS;
  return {
    ...{ recording_id: id, room: "main", title: "Physics 1", started_at: started, ended_at: started + durationS, duration_s: durationS },
    ...{ size_bytes: size, status: "finished", available: true, node_id: "n1" },
    ...{ playlist_url: `recordings/${id}/index.m3u8`, download_url: `recordings/${id}/download.mp4` },
  };
}

function recordings(): Recording[] {
  const made = media.archives.map(({ id, startedS, endedS, segments }): Recording => {
    const durationS = segments.reduce((sum, each) => sum + each.durationS, 0);
    const size = segments.reduce((sum, { data }) => sum + data.length, 0);
    const known = recordingOf(id, startedS - Date.now() / 1000, durationS, size);
    return { ...known, ended_at: endedS, status: endedS === null ? "recording" : "finished" };
  });
  return [...made, ...oddRecordings];
}

function recordingState(): RecordingState {
  return { recording: media.running !== null, mode: recordingMode, recording_id: media.running?.id ?? null };
}

/** Serve the list, the switch and the removal of recordings. Returns false for another path. */
async function serveRecordings(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
  const [, what, id] = /^\/api\/classes\/\w+\/(recordings?)(?:\/(\w+))?$/.exec(path) ?? [];
  if (what === "recordings" && id) {
    const [odd, archive] = [oddRecordings.findIndex((each) => each.recording_id === id), media.archives.findIndex((each) => each.id === id)];
    if (odd >= 0) oddRecordings.splice(odd, 1);
    if (archive >= 0) media.archives.splice(archive, 1);
    response.writeHead(204).end();
  } else if (what === "recordings") json(response, { recordings: recordings() });
  else if (what === "recording") {
    if (request.method === "POST") media.record(Boolean((await bodyOf(request))["recording"]));
    feeds.forEach(send);
    json(response, recordingState());
  } else return false;
  return true;
}

function address() {
  const key = `main?key=k${keyNumber}4f8a2c`;
  return { rtmp_url: `rtmp://localhost:1935/live/${key}`, rtmp_server: "rtmp://localhost:1935/live", stream_key: key };
}

function problem(response: ServerResponse, code: string, http: number, retryAfter?: string): void {
  if (retryAfter) response.setHeader("Retry-After", retryAfter);
  response.writeHead(http, { "Content-Type": "application/problem+json" });
  response.end(JSON.stringify({ type: `urn:airnode:problem:${code}`, title: code, status: http, detail: `the dev server says ${code}`, code }));
}

function json(response: ServerResponse, body: unknown): void {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(body));
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, string>> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return JSON.parse(Buffer.concat(pieces).toString() || "{}") as Record<string, string>;
}

function grant(response: ServerResponse, body: Record<string, string>): void {
  if (tokenFailure) return problem(response, tokenFailure.code, tokenFailure.status, tokenFailure.retryAfter);
  const teacher = body["user_type"] === "teacher";
  const known = teacher ? classes.one(body["room"] ?? "main") : classes.ofCode(body["code"] ?? "");
  if (teacher ? body["secret"] !== "secret" : !known) return problem(response, "forbidden", 403);
  if (!known) return problem(response, "not_found", 404);
  const user = { id: teacher ? "teacher" : (body["user_id"] ?? ""), name: body["name"] || (teacher ? "" : "Student"), role: teacher ? "teacher" : "student" } as const;
  if (chat.removed.has(user.id)) return problem(response, "removed", 403);
  if (!teacher && /teacher|선생/i.test(user.name)) return problem(response, "name_reserved", 400);
  const token = `t${++tokenNumber}`;
  holders.set(token, user);
  media.tokens.add(token);
  const ttl = Number(options.ttl);
  setTimeout(() => media.tokens.delete(token), ttl * 1000).unref();
  json(response, {
    ...{ token, user_id: user.id, name: user.name, room: known.room, title: known.title, node_id: "n1", node_name: "node-1", expires_at: Math.floor(Date.now() / 1000) + ttl },
    hls_url: `http://127.0.0.1:${media.port}/live/main/index.m3u8?jwt=${token}`,
    ...(teacher && { ...address(), class_code: known.class_code, class_url: `http://127.0.0.1:${PORT}/class/${known.class_code}` }),
  });
}

function feed(response: ServerResponse): void {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  feeds.add(response);
  response.on("close", () => feeds.delete(response));
  send(response);
}

/** Causes states: /dev/state/<state>, /dev/node/down|up, /dev/token/<status>/<code>, /dev/stream/<field>/<number>. */
async function develop(path: string, response: ServerResponse): Promise<void> {
  const [what, first = "", second = "", third] = path.split("/").slice(2);
  if (what === "state") setState(first as RoomState);
  if (what === "node" && first === "down") {
    media.down();
    chat.cut();
  }
  if (what === "node" && first === "up") await media.listen(media.port);
  if (what === "token") tokenFailure = first === "ok" ? null : { status: Number(first), code: second, ...(third && { retryAfter: third }) };
  if (what === "revoke") media.tokens.clear();
  if (what === "recording") recordingMode = first as RecordingState["mode"];
  if (what === "recordings" && first === "none") oddRecordings.length = media.archives.length = 0;
  if (what === "classes") classes.some();
  if (what === "record") kept = first as Kept;
  if (what === "feeds") feeds.forEach((one) => one.destroy());
  if (what === "chat") chat.develop(first, second);
  if (what === "pipeline") pipelineRuns = first !== "off";
  if (what === "stream") oddities = first ? { ...oddities, [first]: second === "null" ? null : Number(second) } : {};
  json(response, { state });
}

/** Serve what the admin page requests. Returns false for another path. */
function serveAdmin(request: IncomingMessage, response: ServerResponse, path: string): boolean {
  const [, node, what] = /^\/cluster\/nodes\/([\w-]+)\/(drain|undrain)$/.exec(path) ?? [];
  if (path !== "/api/pipeline/status" && !path.startsWith("/cluster/")) return false;
  if (request.headers.authorization !== "Bearer secret") problem(response, "forbidden", 403);
  else if (node) {
    order(node, what === "drain");
    json(response, { node_id: node, order: what === "drain" ? "drain" : "" });
  } else json(response, path.endsWith("/nodes") ? nodeList() : path.endsWith("/streams") ? streamList() : pipelineStatus(pipelineRuns));
  return true;
}

/** Serve the list of classes and its changes. Returns false for another path. */
async function serveClasses(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
  const [, room, key] = /^\/api\/classes(?:\/([\w-]+))?(\/teacher-key)?$/.exec(path) ?? [];
  if (!/^\/api\/classes(?:\/[\w-]+)?(\/teacher-key)?$/.test(path)) return false;
  const asked = request.method === "POST" ? await bodyOf(request) : {};
  if (key && room) {
    classes.setKey(room, request.method === "POST");
    if (request.method === "POST") json(response, { teacher_key: "tk-0f3a9c41d27b5e8806c4d1a2b3948576" });
    else response.writeHead(204).end();
  } else if (room) json(response, classes.change(room, asked));
  else if (request.method === "POST") json(response, classes.add(asked["title"] ?? ""));
  else json(response, classes.list({ state, since, viewers: feeds.size }, (request.url ?? "").includes("archived=true")));
  return true;
}

async function serveApi(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
  if (path.startsWith("/dev/")) await develop(path, response);
  else if (path === "/api/token") grant(response, await bodyOf(request));
  else if (await serveClasses(request, response, path)) return true;
  else if (serveAdmin(request, response, path)) return true;
  else if (await serveRecordings(request, response, path)) return true;
  else if (/^\/api\/rooms\/\w+\/events$/.test(path)) feed(response);
  else if (/^\/api\/rooms\/\w+\/stream-key$/.test(path)) {
    keyNumber += 1;
    json(response, address());
  } else if (/^\/api\/rooms\/\w+\/end$/.test(path)) {
    setState("ended");
    json(response, {});
  } else if (/^\/api\/rooms\/\w+\/record$/.test(path)) json(response, sessionList(since, state === "ended", kept));
  else if (/^\/api\/rooms\/\w+\/record\/\w+$/.test(path)) json(response, sessionRecord(path.split("/").at(-1) ?? "", /part=(\w+)/.exec(request.url ?? "")?.[1] ?? "", since, state === "ended", kept));
  else if (/^\/api\/rooms\/\w+$/.test(path)) json(response, status());
  else return false;
  return true;
}

function pageOf(path: string): string | undefined {
  if (path === "/admin" || path.startsWith("/admin/")) return "admin.html";
  return path.startsWith("/class/") ? "class.html" : PAGES[path];
}

async function serveBuilt(path: string, response: ServerResponse): Promise<void> {
  const file = pageOf(path) ?? path.slice(1);
  const data = await readFile(join(STATIC, file)).catch(() => null);
  if (!data || file.includes("..")) return void response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/json", "Content-Security-Policy": CSP });
  response.end(data);
}

await media.listen(0);
setInterval(() => feeds.forEach(send), 2_000).unref();
const server = createServer();
const vite = options.built ? null : await createVite({ appType: "mpa", server: { middlewareMode: true, hmr: { server } } });
server.on("request", async (request: IncomingMessage, response: ServerResponse) => {
  const path = new URL(request.url ?? "/", "http://localhost").pathname;
  if (await serveApi(request, response, path)) return;
  if (!vite) return serveBuilt(path, response);
  const page = pageOf(path);
  if (page) request.url = `/${page}`;
  vite.middlewares(request, response);
});
server.listen(PORT, "127.0.0.1", () => console.log(`http://127.0.0.1:${PORT}/class/ABC123 · http://127.0.0.1:${PORT}/studio#secret=secret · http://127.0.0.1:${PORT}/admin#secret=secret`));
process.on("exit", () => media.unpublish());
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(0));
