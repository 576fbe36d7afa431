import { delayMs, linkedAbort, sleep } from "../lib/backoff.ts";
import { EventStreamParser } from "../lib/sse.ts";
import { bearerHeaders, Problem, problemOf } from "./client.ts";
import type { RoomStatus } from "./types.ts";

/** The server sends a heartbeat more often than this; the rest allows for a slow network. */
const SILENCE_MS = 45_000;
const BACKOFF = { baseMs: 500, capMs: 6_000 };

export interface FeedEvents {
  status(status: RoomStatus): void;
  /** The connection was opened, or lost. */
  up(up: boolean): void;
  /** The server refused the token; the feed waits until {@link RoomFeed.restart}. */
  refused(): void;
}

/**
 * The room's event stream, kept open over network failures.
 *
 * It reads with fetch instead of EventSource, so that the token is sent in a header and an HTTP status
 * differs from a lost connection.
 */
export class RoomFeed {
  readonly #room: string;
  readonly #token: () => string;
  readonly #events: FeedEvents;
  #run: AbortController | null = null;

  constructor(room: string, token: () => string, events: FeedEvents) {
    this.#room = room;
    this.#token = token;
    this.#events = events;
  }

  restart(): void {
    this.stop();
    this.#run = new AbortController();
    void this.#loop(this.#run.signal);
  }

  stop(): void {
    this.#run?.abort();
    this.#run = null;
  }

  async #loop(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      let retryAfterS: number | null = null;
      try {
        await this.#read(signal, () => (attempt = 0));
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Problem && error.refused) return this.#events.refused();
        if (error instanceof Problem) retryAfterS = error.retryAfterS;
      }
      if (signal.aborted) return;
      this.#events.up(false);
      await sleep(delayMs(attempt, BACKOFF, retryAfterS), signal).catch(() => undefined);
    }
  }

  /** Read one connection to its end; `received` is called for every event. */
  async #read(signal: AbortSignal, received: () => void): Promise<void> {
    const silence = linkedAbort(signal);
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const response = await fetch(`/api/rooms/${encodeURIComponent(this.#room)}/events`, {
        headers: { Accept: "text/event-stream", ...bearerHeaders(this.#token()) },
        cache: "no-store",
        signal: silence.signal,
      });
      if (!response.ok) throw await problemOf(response);
      if (!response.body) return;
      this.#events.up(true);
      const parser = new EventStreamParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        for (const { event, data } of parser.push(value)) {
          received();
          if (event === "room") this.#events.status(JSON.parse(data) as RoomStatus);
        }
      }
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }
}
