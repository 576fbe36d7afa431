import { delayMs, sleep } from "../lib/backoff.ts";
import { parseServerMessage, PROTOCOL, type ServerMessage } from "./framing.ts";
import type { Place, Trouble, UplinkState } from "./messages.ts";

const BACKOFF = { baseMs: 400, capMs: 5_000 };
const OPEN_MS = 6_000;
/** The node acknowledges ten times a second: after so long without any answer the connection is dead. */
const SILENT_MS = 5_000;
const WATCH_MS = 500;
/** A timer that is this late: the machine slept, and the connection is most likely gone. */
const SLEPT_MS = 8_000;
/** After a lost connection the node may hold the old one for a moment, and refuses this one meanwhile. */
const CONFLICT_MS = 15_000;
/** Refusals that trying again does not change: the request, the key, the room, a message that is too large. */
const FINAL = new Set([400, 401, 403, 404, 413]);
/** Addresses are asked for again after this many failures of one. */
const KEPT_MS = 20_000;

export type PlaceAnswer = { place: Place } | { trouble: Trouble; hopeless: boolean; retryAfterS: number | null };

export interface UplinkEvents {
  /** Ask the cluster where to publish, but not at these nodes (ids with commas between them). */
  locate(avoid: string): Promise<PlaceAnswer>;
  state(state: UplinkState, trouble: Trouble | null): void;
  /** The node takes media from now on: configurations first, then a key frame. */
  accepted(keyIntervalS: number): void;
  keyWanted(): void;
  remark(trouble: Trouble): void;
}

/** How a connection ended. `status`: of a refusal; 0: the connection was lost. */
interface End {
  status: number;
  trouble: Trouble;
  wasLive: boolean;
  retryAfterS: number | null;
}

/** Keeps one publish going over changing connections and nodes until it is stopped or refused for good. */
export class Uplink {
  readonly #events: UplinkEvents;
  readonly #encoder: string;
  readonly #run = new AbortController();
  readonly #failedAtMs = new Map<string, number>();
  #socket: WebSocket | null = null;
  #accepted = false;
  #wasLive = false;
  #hurry: (() => void) | null = null;
  sentMessages = 0;
  sentBytes = 0;
  ackedMessages = 0;
  ackedBytes = 0;

  constructor(encoder: string, events: UplinkEvents) {
    this.#encoder = encoder;
    this.#events = events;
  }

  /** The node takes media now. */
  get live(): boolean {
    return this.#accepted;
  }

  get bufferedBytes(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    if (!this.#accepted || this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(message);
    this.sentMessages += 1;
    this.sentBytes += message.byteLength;
  }

  /** Try again at once. */
  hurry(): void {
    this.#hurry?.();
  }

  /** End the class: the node does not wait for this publisher. */
  stop(): void {
    if (this.#accepted && this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ type: "stop" }));
    this.#run.abort();
    this.#socket?.close(1000);
  }

  /** Publish until {@link stop}. Returns why it ended; null: it was stopped. */
  async run(): Promise<Trouble | null> {
    let place: Place | null = null;
    let lostMs: number | null = null;
    for (let attempt = 0; !this.#run.signal.aborted; attempt += 1) {
      this.#events.state(this.#wasLive ? "reconnecting" : "connecting", null);
      let retryAfterS: number | null = null;
      if (place === null) {
        const answer = await this.#events.locate(this.#avoided());
        if (this.#run.signal.aborted) return null;
        if ("place" in answer) place = answer.place;
        else if (answer.hopeless) return answer.trouble;
        else {
          retryAfterS = answer.retryAfterS;
          this.#events.state(this.#wasLive ? "reconnecting" : "connecting", answer.trouble);
        }
      }
      if (place !== null) {
        const end: End = await this.#connect(place);
        if (this.#run.signal.aborted) return null;
        const nowMs = performance.now();
        if (end.wasLive) {
          attempt = -1;
          lostMs = nowMs;
        }
        const isEarly = lostMs !== null && nowMs - lostMs < CONFLICT_MS;
        // On a live connection this means that another publisher took over, or that the class was ended elsewhere.
        if (FINAL.has(end.status) || (end.status === 409 && (end.wasLive || !isEarly))) return end.trouble;
        retryAfterS = end.retryAfterS;
        if (end.status === 503 || (end.status === 0 && !end.wasLive)) this.#failedAtMs.set(place.nodeId, nowMs);
        // The first attempt after a lost connection goes to the same node, which keeps the class; then the cluster is asked.
        if (!end.wasLive || end.status !== 0) place = null;
        this.#events.state(this.#wasLive ? "reconnecting" : "connecting", end.trouble);
        if (end.wasLive || end.status === 503) continue;
      }
      await this.#wait(delayMs(Math.max(0, attempt), BACKOFF, retryAfterS));
    }
    return null;
  }

  #avoided(): string {
    const nowMs = performance.now();
    return [...this.#failedAtMs].filter(([, atMs]) => nowMs - atMs < KEPT_MS).map(([nodeId]) => nodeId).join(",");
  }

  async #wait(ms: number): Promise<void> {
    const hurried = new Promise<void>((resolve) => (this.#hurry = resolve));
    await Promise.race([sleep(ms, this.#run.signal).catch(() => undefined), hurried]);
    this.#hurry = null;
  }

  #connect(place: Place): Promise<End> {
    return new Promise((resolve) => {
      const socket = new WebSocket(place.url, PROTOCOL);
      socket.binaryType = "arraybuffer";
      this.#socket = socket;
      let refused: End | null = null;
      let heardMs = performance.now();
      let watchedMs = heardMs;
      const end = (code: string, detail: string) => {
        clearInterval(watch);
        this.#hurry = null;
        const wasLive = this.#accepted;
        this.#accepted = false;
        socket.onclose = socket.onmessage = socket.onopen = null;
        socket.close();
        resolve(refused ? { ...refused, wasLive } : { status: 0, trouble: { code, detail }, wasLive, retryAfterS: null });
      };
      const watch = setInterval(() => {
        const nowMs = performance.now();
        const slept = nowMs - watchedMs > SLEPT_MS;
        watchedMs = nowMs;
        const waits = this.#accepted ? this.sentMessages > this.ackedMessages : true;
        const limitMs = this.#accepted ? SILENT_MS : OPEN_MS;
        if (slept || (waits && nowMs - heardMs > limitMs)) end("network", "");
        else if (!waits) heardMs = nowMs;
      }, WATCH_MS);
      this.#hurry = () => {
        if (performance.now() - heardMs > WATCH_MS) end("network", "");
      };
      socket.onopen = () => {
        heardMs = performance.now();
        socket.send(JSON.stringify({ type: "publish", key: place.key, encoder: this.#encoder }));
      };
      socket.onclose = () => end("network", "");
      socket.onmessage = ({ data }) => {
        heardMs = performance.now();
        const message = typeof data === "string" ? parseServerMessage(data) : null;
        if (message?.type === "refused") {
          const { code, detail, status, retry_after_s = null } = message;
          refused = { status, trouble: { code, detail }, wasLive: this.#accepted, retryAfterS: retry_after_s };
        } else if (message) this.#onMessage(message);
      };
    });
  }

  #onMessage(message: ServerMessage): void {
    switch (message.type) {
      case "accepted":
        this.#accepted = this.#wasLive = true;
        this.sentMessages = this.sentBytes = this.ackedMessages = this.ackedBytes = 0;
        this.#failedAtMs.clear();
        this.#events.state("live", null);
        return this.#events.accepted(message.key_frame_interval_s);
      case "ack":
        this.ackedMessages = message.messages;
        this.ackedBytes = message.bytes;
        return;
      case "key_frame":
        return this.#events.keyWanted();
      case "remark":
        return this.#events.remark({ code: message.code, detail: message.detail });
    }
  }
}
