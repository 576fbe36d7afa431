import { api, Problem } from "../api/client.ts";
import { RoomFeed } from "../api/feed.ts";
import type { Grant, RoomStatus, TokenRequest } from "../api/types.ts";
import { delayMs, herdDelayMs, linkedAbort, sleep } from "../lib/backoff.ts";
import { ServerClock } from "../lib/clock.ts";
import { Asking, BACKOFF } from "./asking.ts";
import { FailedNodes } from "./failed.ts";
import { renewalDelayMs } from "./renewal.ts";
import { OUTSIDE, transition, type Command, type PlayerCommand, type SessionEvent, type SessionState, type Wait } from "./session_state.ts";

const CLOCK_PERIOD_MS = 60_000;
/** The first round trips come sooner, as the latency on screen depends on them. */
const CLOCK_FIRST_MS = [1_500, 2_500, 4_000];

export interface SessionHooks {
  /** Return whether a picture is on screen. */
  playing(): boolean;
  /** Carry out what the state machine wants from the player. */
  control(command: PlayerCommand): void;
  /** The state changed and the commands of the change are carried out. */
  changed(): void;
}

/**
 * Keeps one person in one room: asks for tokens and places, renews them, reads the room's feed and the server's clock.
 *
 * What happens when is decided in `session_state.ts`; this class carries it out. It knows no player.
 */
export class Session {
  readonly clock = new ServerClock();
  readonly #hooks: SessionHooks;
  readonly #failedNodes = new FailedNodes();
  readonly #asking = new Asking({
    attempt: (signal) => this.#attempt(signal),
    refused: (problem) => this.dispatch({ type: "refused", problem }),
    waiting: (problem, waitMs) =>
      this.dispatch({ type: "waiting", problem, retryAtMs: Date.now() + waitMs, playing: this.#hooks.playing() }),
  });
  #state: SessionState = OUTSIDE;
  #events: SessionEvent[] = [];
  #dispatching = false;
  #request: TokenRequest | null = null;
  #feed: RoomFeed | null = null;
  #clockRun = new AbortController();
  #renewal: ReturnType<typeof setTimeout> | undefined;
  /** Ends with `leave` and with the next `join`. */
  #run = new AbortController();

  constructor(hooks: SessionHooks) {
    this.#hooks = hooks;
  }

  get state(): SessionState {
    return this.#state;
  }

  /** Aborts when the person leaves the room. */
  get signal(): AbortSignal {
    return this.#run.signal;
  }

  join(request: TokenRequest): void {
    this.#request = request;
    this.dispatch({ type: "join" });
  }

  /** Change what is requested from now on, and request a token at once; what plays plays on. */
  amend(change: Partial<TokenRequest>): void {
    if (!this.#request) return;
    this.#request = { ...this.#request, ...change };
    this.dispatch({ type: "tokenStale" });
  }

  /** Return a token for a changed request without taking it. Raises Problem when the server refuses. */
  async tryOut(change: Partial<TokenRequest>): Promise<Grant | null> {
    return this.#request && api.token({ ...this.#request, ...change }, this.#state.grant?.token, this.signal);
  }

  /** Handle an event. Events that its commands cause are handled after it. */
  dispatch(event: SessionEvent): void {
    this.#events.push(event);
    if (this.#dispatching) return;
    this.#dispatching = true;
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) this.#handle(next);
    } finally {
      this.#dispatching = false;
    }
  }

  #handle(event: SessionEvent): void {
    const [state, commands] = transition(this.#state, event);
    this.#state = state;
    for (const command of commands) this.#carryOut(command);
    this.#hooks.changed();
  }

  #carryOut(command: Command): void {
    switch (command.type) {
      case "close":
        return this.#close();
      case "ask":
        return this.#asking.begin(waitMs(command.wait));
      case "startFeed":
        return this.#startFeed(command.room);
      case "scheduleRenewal":
        return this.#scheduleRenewal(command.grant);
      case "avoidNode":
        return this.#failedNodes.add(command.nodeId, performance.now());
      default:
        return this.#hooks.control(command);
    }
  }

  #close(): void {
    this.#run.abort();
    this.#run = new AbortController();
    this.#asking.stop();
    this.#failedNodes.clear();
    clearTimeout(this.#renewal);
    this.#feed?.stop();
    this.#feed = null;
  }

  async #attempt(signal: AbortSignal): Promise<Problem | null> {
    const request = this.#request;
    if (!request) return null;
    const avoid = this.#failedNodes.listed(performance.now());
    const body = avoid && request.user_type === "student" ? { ...request, avoid } : request;
    try {
      const grant = await api.token(body, this.#state.grant?.token, signal);
      if (!signal.aborted) this.dispatch({ type: "granted", grant, nowMs: Date.now() });
      return null;
    } catch (error) {
      return error instanceof Problem ? error : new Problem(0, "network", String(error));
    }
  }

  #scheduleRenewal(grant: Grant): void {
    clearTimeout(this.#renewal);
    const delay = renewalDelayMs(grant.expires_at * 1000, this.clock.toServerMs(Date.now()));
    this.#renewal = setTimeout(() => this.dispatch({ type: "tokenStale" }), delay);
  }

  #startFeed(room: string): void {
    this.#feed?.stop();
    this.#feed = new RoomFeed(room, () => this.#state.grant?.token ?? "", {
      status: (status) => this.#onStatus(status),
      up: (up) => this.dispatch({ type: up ? "feedOpened" : "feedLost" }),
      refused: () => this.dispatch({ type: "feedRefused" }),
    });
    this.#feed.restart();
    this.#clockRun.abort();
    this.#clockRun = linkedAbort(this.#run.signal);
    void this.#keepClock(this.#clockRun.signal);
  }

  #onStatus(status: RoomStatus): void {
    this.clock.addPush(Date.now(), status.server_time * 1000);
    this.dispatch({ type: "status", status });
  }

  async #keepClock(signal: AbortSignal): Promise<void> {
    for (let round = 0; !signal.aborted; round += 1) {
      const { grant } = this.#state;
      if (grant) await this.#measureClock(grant, signal);
      await sleep(CLOCK_FIRST_MS[round] ?? CLOCK_PERIOD_MS, signal).catch(() => undefined);
    }
  }

  async #measureClock(grant: Grant, signal: AbortSignal): Promise<void> {
    const sentMs = Date.now();
    try {
      const status = await api.room(grant.room, grant.token, signal);
      this.clock.addRoundTrip(sentMs, Date.now(), status.server_time * 1000);
      if (!this.#state.status && !signal.aborted) this.#onStatus(status);
    } catch {
      // The feed deals with lost connections and refused tokens.
    }
  }
}

function waitMs(wait: Wait): number {
  if (wait.kind === "backoff") return delayMs(wait.attempt, BACKOFF);
  return wait.kind === "herd" ? herdDelayMs() : 0;
}
