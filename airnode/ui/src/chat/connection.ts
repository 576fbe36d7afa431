import type { Socket } from "socket.io-client";
import type { Ack, ChatError } from "./events.ts";

/** Load the client's script; it is not needed for the first picture. */
export const loadClient = () => import("socket.io-client");

const ANSWER_MS = 8_000;
/** So long a connection that should still be there may take to answer after a sleep or a change of network. */
const PROBE_MS = 3_000;

/** Where a media node's chat is. */
export interface ChatAddress {
  origin: string;
  path: string;
}

/** Return the chat of the node that serves this media address: both lie below the same base. */
export function chatAddress(mediaUrl: string): ChatAddress {
  const { origin, pathname } = new URL(mediaUrl);
  const base = pathname.slice(0, Math.max(0, pathname.lastIndexOf("/live/")));
  return { origin, path: `${base}/socket.io/` };
}

export interface ConnectionEvents {
  /** Connected; `recovered`: the server goes on where we were, and sends what was missed. */
  up(recovered: boolean): void;
  /** The connection is lost; it is made again by itself. */
  down(): void;
  /** The server refused us; only {@link Connection.again} tries again. */
  refused(error: ChatError): void;
  heard(name: string, args: unknown[]): void;
}

/** One connection to one node's chat by the official client. */
export class Connection {
  readonly #events: ConnectionEvents;
  #socket: Socket | null = null;
  #room = "";
  #closed = false;

  constructor(events: ConnectionEvents) {
    this.#events = events;
  }

  /** `room`: what a living connection is asked about. `credentials` is asked at each connection. Raises an error when the client's script does not load. */
  async open({ origin, path }: ChatAddress, room: string, credentials: () => object): Promise<void> {
    const { io } = await loadClient();
    if (this.#closed) return;
    const socket = io(origin, {
      path,
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      forceNew: true,
      reconnectionDelay: 500,
      reconnectionDelayMax: 6_000,
      timeout: ANSWER_MS,
      auth: (give) => give(credentials()),
    });
    this.#socket = socket;
    this.#room = room;
    socket.on("connect", () => this.#events.up(socket.recovered));
    socket.on("disconnect", () => {
      if (this.#closed) return;
      if (socket.active) this.#events.down();
      else this.#events.refused({ code: "disconnected" });
    });
    socket.on("connect_error", (error: Error & { data?: unknown }) => {
      if (this.#closed) return;
      if (socket.active) this.#events.down();
      else this.#events.refused(refusalOf(error));
    });
    socket.onAny((name: string, ...args: unknown[]) => this.#events.heard(name, args));
    for (const event of ["online", "pageshow"]) window.addEventListener(event, this.#check);
    document.addEventListener("visibilitychange", this.#check);
  }

  get up(): boolean {
    return this.#socket?.connected ?? false;
  }

  /**
   * Send an event and return the server's answer; an error of its own where none comes.
   *
   * `heard` is called with the answer before the events that came after it, also when all came in one packet.
   */
  async ask<T = object>(name: string, args: readonly unknown[], heard?: (answer: Ack<T>) => void): Promise<Ack<T>> {
    return new Promise<Ack<T>>((resolve) => {
      const done = (found: Ack<T>) => {
        heard?.(found);
        resolve(found);
      };
      const socket = this.#socket;
      if (!socket?.connected) return done({ ok: false, error: { code: "offline" } });
      socket.timeout(ANSWER_MS).emit(name, ...args, (error: Error | null, found?: Ack<T>) => done(error || !found ? { ok: false, error: { code: "no_answer" } } : found));
    });
  }

  /** Send an event that nobody waits for; lost while there is no connection. */
  tell(name: string, ...args: unknown[]): void {
    if (this.#socket?.connected) this.#socket.volatile.emit(name, ...args);
  }

  /** Connect again after the server's refusal, or to say who we are anew. */
  again(): void {
    const socket = this.#socket;
    if (!socket || this.#closed) return;
    socket.disconnect();
    socket.connect();
  }

  close(): void {
    this.#closed = true;
    this.#socket?.disconnect();
    for (const event of ["online", "pageshow"]) window.removeEventListener(event, this.#check);
    document.removeEventListener("visibilitychange", this.#check);
  }

  /** The page wakes, or the network changed: a dead connection shows no sign of it for long, so ask. */
  readonly #check = (): void => {
    const socket = this.#socket;
    if (!socket || document.hidden) return;
    if (!socket.connected) {
      if (socket.active) socket.connect();
      return;
    }
    socket
      .timeout(PROBE_MS)
      .emitWithAck("presence", this.#room)
      .catch(() => socket.io.engine.close());
  };
}

function refusalOf(error: Error & { data?: unknown }): ChatError {
  const data = typeof error.data === "object" && error.data !== null ? (error.data as Partial<ChatError>) : {};
  return { ...data, code: data.code ?? error.message };
}
