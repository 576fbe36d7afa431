/** A small LL-HLS origin for developing the pages: ffmpeg's test picture, cut into 200 ms parts. */
import { spawn, type ChildProcess } from "node:child_process";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

const PART_TARGET_S = 0.2;
const SEGMENTS_KEPT = 7;
const BLOCK_MS = 5_000;
const VIDEO_TRACK = 1;

interface Part {
  data: Buffer;
  durationS: number;
  independent: boolean;
}

/** A recording: the segments that were cut while it ran. */
export interface Archive {
  id: string;
  startedS: number;
  endedS: number | null;
  init: Buffer;
  segments: { data: Buffer; durationS: number }[];
}

interface Segment {
  msn: number;
  startedMs: number;
  discontinuity: boolean;
  parts: Part[];
}

/** ISO BMFF boxes of a buffer: [type, payload start, end]. */
function boxes(data: Buffer, from = 0, to = data.length): { type: string; start: number; body: number; end: number }[] {
  const found = [];
  for (let at = from; at + 8 <= to; ) {
    const size = data.readUInt32BE(at);
    if (size < 8 || at + size > to) break;
    found.push({ type: data.toString("latin1", at + 4, at + 8), start: at, body: at + 8, end: at + size });
    at += size;
  }
  return found;
}

/** Duration of the video samples in a fragment, in ticks of 1/15360 s as ffmpeg chooses for 30 fps. */
function videoTicks(fragment: Buffer): number {
  const moof = boxes(fragment).find(({ type }) => type === "moof");
  if (!moof) return 0;
  for (const traf of boxes(fragment, moof.body, moof.end).filter(({ type }) => type === "traf")) {
    const inside = boxes(fragment, traf.body, traf.end);
    const tfhd = inside.find(({ type }) => type === "tfhd");
    const trun = inside.find(({ type }) => type === "trun");
    if (!tfhd || !trun || fragment.readUInt32BE(tfhd.body + 4) !== VIDEO_TRACK) continue;
    const flags = fragment.readUInt32BE(tfhd.body) & 0xffffff;
    let at = tfhd.body + 8 + (flags & 1 ? 8 : 0) + (flags & 2 ? 4 : 0);
    const each = flags & 8 ? fragment.readUInt32BE(at) : 512;
    at = trun.body;
    const count = fragment.readUInt32BE(at + 4);
    const runFlags = fragment.readUInt32BE(at) & 0xffffff;
    if (!(runFlags & 0x100)) return count * each;
    const width = 4 * [0x100, 0x200, 0x400, 0x800].filter((bit) => runFlags & bit).length;
    let first = at + 8 + (runFlags & 1 ? 4 : 0) + (runFlags & 4 ? 4 : 0);
    let sum = 0;
    for (let index = 0; index < count; index += 1, first += width) sum += fragment.readUInt32BE(first);
    return sum;
  }
  return 0;
}

export class MediaNode {
  #server: Server | null = null;
  #encoder: ChildProcess | null = null;
  #init = Buffer.alloc(0);
  #segments: Segment[] = [];
  #nextMsn = 0;
  #epoch = 0;
  #waiters = new Set<() => void>();
  port = 0;
  /** Accepted tokens; the API adds and removes them. */
  readonly tokens = new Set<string>();
  /** Recordings, the newest first. */
  readonly archives: Archive[] = [];

  /** Called with each server, for what else it is to serve. */
  onServer: (server: Server) => void = () => undefined;

  async listen(port: number): Promise<void> {
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.onServer(this.#server);
    await new Promise<void>((resolve) => this.#server?.listen(port, "127.0.0.1", resolve));
    const address = this.#server.address();
    this.port = typeof address === "object" && address ? address.port : port;
  }

  /** The node is gone: connections are cut and refused. */
  down(): void {
    this.#server?.closeAllConnections();
    this.#server?.close();
    this.#server = null;
  }

  publish(): void {
    this.#epoch += 1;
    const source = `testsrc2=size=1280x720:rate=30,drawtext=text='%{localtime\\:%T}  #${this.#epoch}':fontsize=72:fontcolor=white:box=1:boxcolor=black:x=40:y=40`;
    const encoder = spawn(
      "ffmpeg",
      [
        ...["-v", "error", "-re", "-f", "lavfi", "-i", source, "-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"],
        ...["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-b:v", "2500k", "-g", "30", "-pix_fmt", "yuv420p"],
        ...["-c:a", "aac", "-b:a", "128k", "-f", "mp4", "-video_track_timescale", "15360", "-flush_packets", "1"],
        ...["-movflags", "empty_moov+default_base_moof+frag_keyframe", "-frag_duration", "200000", "pipe:1"],
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    this.#encoder = encoder;
    let rest = Buffer.alloc(0);
    let head: Buffer[] = [];
    let first = true;
    encoder.stdout.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (const { type, start, end } of boxes(rest)) {
        head.push(Buffer.from(rest.subarray(start, end)));
        if (type === "moov") [this.#init, head] = [Buffer.concat(head), []];
        if (type !== "mdat") continue;
        this.#add(Buffer.concat(head), first);
        head = [];
        first = false;
      }
      rest = rest.subarray(boxes(rest).at(-1)?.end ?? 0);
    });
  }

  unpublish(): void {
    this.#encoder?.kill("SIGKILL");
    this.#encoder = null;
  }

  /** The recording that runs. */
  get running(): Archive | null {
    return this.archives.find(({ endedS }) => endedS === null) ?? null;
  }

  record(on: boolean): void {
    const { running } = this;
    const nowS = Date.now() / 1000;
    if (running && !on) running.endedS = nowS;
    if (!running && on) {
      this.archives.unshift({ id: `r${this.archives.length + 1}`, startedS: nowS, endedS: null, init: this.#init, segments: [] });
    }
  }

  forget(): void {
    this.#segments = [];
  }

  #add(data: Buffer, discontinuity: boolean): void {
    const durationS = videoTicks(data) / 15360;
    if (durationS === 0) return;
    const last = this.#segments.at(-1);
    const full = !last || last.parts.reduce((sum, part) => sum + part.durationS, 0) > 0.99;
    if (full || discontinuity) {
      this.#archive(last);
      this.#segments.push({ msn: this.#nextMsn++, startedMs: Date.now() - durationS * 1000, discontinuity, parts: [] });
      this.#segments = this.#segments.slice(-SEGMENTS_KEPT - 1);
    }
    const segment = this.#segments.at(-1);
    segment?.parts.push({ data, durationS, independent: segment.parts.length === 0 });
    for (const wake of [...this.#waiters]) wake();
  }

  #archive(segment: Segment | undefined): void {
    const { running } = this;
    if (!running || !segment) return;
    running.init = this.#init;
    const durationS = segment.parts.reduce((sum, part) => sum + part.durationS, 0);
    running.segments.push({ data: Buffer.concat(segment.parts.map(({ data }) => data)), durationS });
  }

  #replay(id: string, name: string): string | Buffer | null {
    const found = this.archives.find((each) => each.id === id);
    if (!found) return null;
    if (name === "init.mp4") return found.init;
    if (name === "download.mp4") return Buffer.concat([found.init, ...found.segments.map(({ data }) => data)]);
    const segment = /^s(\d+)\.m4s$/.exec(name);
    if (segment) return found.segments[Number(segment[1])]?.data ?? null;
    const kind = found.endedS === null ? "EVENT" : "VOD";
    const lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:2", `#EXT-X-PLAYLIST-TYPE:${kind}`, '#EXT-X-MAP:URI="init.mp4"'];
    found.segments.forEach(({ durationS }, index) => lines.push(`#EXTINF:${durationS.toFixed(5)},`, `s${index}.m4s`));
    if (found.endedS !== null) lines.push("#EXT-X-ENDLIST");
    return `${lines.join("\n")}\n`;
  }

  #playlist(): string {
    const lines = [
      "#EXTM3U",
      "#EXT-X-VERSION:9",
      "#EXT-X-TARGETDURATION:1",
      `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${(PART_TARGET_S * 3).toFixed(2)}`,
      `#EXT-X-PART-INF:PART-TARGET=${PART_TARGET_S}`,
      `#EXT-X-MEDIA-SEQUENCE:${this.#segments[0]?.msn ?? 0}`,
      `#EXT-X-MAP:URI="init${this.#epoch}.mp4"`,
    ];
    for (const segment of this.#segments) {
      const complete = segment.msn < this.#nextMsn - 1;
      if (segment.discontinuity) lines.push("#EXT-X-DISCONTINUITY", `#EXT-X-MAP:URI="init${this.#epoch}.mp4"`);
      lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(segment.startedMs).toISOString()}`);
      segment.parts.forEach((part, index) => {
        const flag = part.independent ? ",INDEPENDENT=YES" : "";
        lines.push(`#EXT-X-PART:DURATION=${part.durationS.toFixed(5)},URI="s${segment.msn}.${index}.m4s"${flag}`);
      });
      if (!complete) continue;
      lines.push(`#EXTINF:${segment.parts.reduce((sum, part) => sum + part.durationS, 0).toFixed(5)},`, `s${segment.msn}.m4s`);
    }
    return `${lines.join("\n")}\n`;
  }

  #has(msn: number, part: number): boolean {
    const segment = this.#segments.find((one) => one.msn === msn);
    return msn < this.#nextMsn - 1 || (segment !== undefined && part < segment.parts.length);
  }

  async #blocked(msn: number, part: number): Promise<void> {
    const until = Date.now() + BLOCK_MS;
    while (!this.#has(msn, part) && Date.now() < until) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          this.#waiters.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, until - Date.now());
        this.#waiters.add(wake);
      });
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://localhost");
    response.setHeader("Access-Control-Allow-Origin", "*");
    const entry = /^\/live\/(\w+)\/index\.m3u8$/.exec(url.pathname);
    if (entry) {
      response.writeHead(302, { Location: `/v/${url.searchParams.get("jwt")}/${entry[1]}/index.m3u8` });
      return void response.end();
    }
    const media = /^\/v\/([^/]+)\/\w+\/(.+)$/.exec(url.pathname);
    if (!media) return void response.writeHead(404).end();
    if (!this.tokens.has(media[1] ?? "")) return void response.writeHead(401).end();
    const answer = await this.#answer(media[2] ?? "", url.searchParams);
    if (!answer) return void response.writeHead(404).end();
    response.setHeader("Content-Type", typeof answer === "string" ? "application/vnd.apple.mpegurl" : "video/mp4");
    response.end(answer);
  }

  async #answer(name: string, query: URLSearchParams): Promise<string | Buffer | null> {
    const replay = /^recordings\/(\w+)\/(.+)$/.exec(name);
    if (replay) return this.#replay(replay[1] ?? "", replay[2] ?? "");
    if (this.#segments.length === 0) return null;
    if (name === "index.m3u8") {
      return '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2800000,RESOLUTION=1280x720,FRAME-RATE=30,CODECS="avc1.42c01f,mp4a.40.2"\nmedia.m3u8\n';
    }
    if (name === "media.m3u8") {
      const msn = query.get("_HLS_msn");
      if (msn !== null) await this.#blocked(Number(msn), Number(query.get("_HLS_part") ?? 0));
      return this.#playlist();
    }
    if (name.startsWith("init")) return this.#init;
    const [, msn, part] = /^s(\d+)(?:\.(\d+))?\.m4s$/.exec(name) ?? [];
    const segment = this.#segments.find((one) => one.msn === Number(msn));
    if (part !== undefined) return segment?.parts[Number(part)]?.data ?? null;
    return segment ? Buffer.concat(segment.parts.map(({ data }) => data)) : null;
  }
}
