import { api, Problem } from "../api/client.ts";
import { RoomFeed } from "../api/feed.ts";
import type { Grant, RoomState, RoomStatus, TokenRequest } from "../api/types.ts";
import { delayMs, linkedAbort, sleep } from "../lib/backoff.ts";
import { ServerClock } from "../lib/clock.ts";
import { Store } from "../lib/store.ts";
import type { Failure } from "../player/engine.ts";
import { loadHls, type HlsClass } from "../player/hls.ts";
import { liveSupported } from "../player/live.ts";
import { nativeHls } from "../player/native.ts";
import { Player } from "../player/player.ts";
import { phaseOf, type Phase } from "./phase.ts";
import { renewalDelayMs } from "./renewal.ts";

const BACKOFF = { baseMs: 600, capMs: 6_000 };
const CLOCK_PERIOD_MS = 60_000;
const CLOCK_FIRST_MS = [1_500, 2_500, 4_000];

export interface RoomView {
  phase: Phase;
  grant: Grant | null;
  status: RoomStatus | null;
  /** Why the way in was refused: the person has to do something. */
  refusal: Problem | null;
  /** Why we are `lost`, and when the next try is (local unix ms). */
  trouble: Problem | null;
  retryAtMs: number | null;
  firstFrameMs: number | null;
}

const NOWHERE: RoomView = {
  phase: "idle",
  grant: null,
  status: null,
  refusal: null,
  trouble: null,
  retryAtMs: null,
  firstFrameMs: null,
};

/**
 * One person in one room: token, feed, clock and player, kept going over whatever breaks.
 *
 * The feed says what the room does, the player says what the media does; this class asks for a new token
 * before the old one ends, and for a new place when the node is gone.
 */
export class LiveRoom {
  readonly view = new Store<RoomView>(NOWHERE);
  readonly clock = new ServerClock();
  #request: TokenRequest | null = null;
  #player: Player | null = null;
  #feed: RoomFeed | null = null;
  #run = new AbortController();
  #timing = new AbortController();
  #joinedAtMs = 0;
  #asking = false;
  #broken = false;
  #deaf = false;
  #supported = true;
  /** Sources in a row that brought no frame. */
  #attempt = 0;
  #renewal: ReturnType<typeof setTimeout> | undefined;

  /** Join; while a token is on its way the player's script loads too. */
  join(request: TokenRequest): void {
    this.leave();
    this.#request = request;
    this.#joinedAtMs = performance.now();
    this.#attempt = 0;
    this.view.set(NOWHERE);
    void this.#checkSupport();
    this.#refresh();
    void this.#obtain(this.#run.signal);
  }

  leave(): void {
    this.#run.abort();
    this.#run = new AbortController();
    clearTimeout(this.#renewal);
    this.#feed?.stop();
    this.#feed = null;
    this.#player?.stop();
    this.#request = null;
    this.#asking = false;
    this.#broken = false;
    this.#deaf = false;
    this.view.set(NOWHERE);
  }

  /** The page's video element came; null when it goes. */
  attach(elements: { video: HTMLVideoElement; still: HTMLCanvasElement } | null): Player | null {
    this.#player?.destroy();
    this.#player = null;
    if (!elements) return null;
    const player = new Player(elements.video, elements.still, {
      firstFrame: () => this.#onFirstFrame(),
      failed: (failure) => this.#onFailure(failure),
    });
    player.view.subscribe(() => this.#refresh());
    this.#player = player;
    this.#direct();
    return player;
  }

  get player(): Player | null {
    return this.#player;
  }

  /** Capture to screen, in ms by the server's clock; null when nothing plays. */
  latencyMs(): number | null {
    const at = this.#player?.playingAtMs() ?? null;
    return at === null ? null : this.clock.toServerMs(Date.now()) - at;
  }

  /** Do not wait for the next try. */
  retryNow(): void {
    if (!this.#broken || !this.#request) return;
    this.#run.abort();
    this.#run = new AbortController();
    this.#asking = false;
    void this.#obtain(this.#run.signal);
  }

  /** Asks for a token until there is one, then starts what hangs on it. */
  async #obtain(signal: AbortSignal): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      for (let attempt = 0; !signal.aborted && this.#request; attempt += 1) {
        const problem = await this.#tryToken(this.#request, signal);
        if (problem === null || signal.aborted) return;
        if (problem.hopeless) return this.#refuse(problem);
        this.#broken = true;
        const waitMs = delayMs(attempt, BACKOFF, problem.retryAfterS);
        this.view.patch({ trouble: problem, retryAtMs: Date.now() + waitMs });
        this.#refresh();
        await sleep(waitMs, signal);
        this.view.patch({ retryAtMs: null });
      }
    } catch {
      // Aborted: leave() or retryNow() took over.
    } finally {
      if (!signal.aborted) this.#asking = false;
    }
  }

  async #tryToken(request: TokenRequest, signal: AbortSignal): Promise<Problem | null> {
    try {
      this.#accept(await api.token(request, this.view.value.grant?.token, signal));
      return null;
    } catch (error) {
      return error instanceof Problem ? error : new Problem(0, "network", String(error));
    }
  }

  #accept(grant: Grant): void {
    const former = this.view.value.grant;
    const anew = this.#broken || !former;
    // What the room did before the trouble says nothing now: the feed has to tell again.
    this.view.patch({ grant, trouble: null, retryAtMs: null, ...(anew && { status: null }) });
    this.#scheduleRenewal(grant);
    if (anew) this.#startFeed(grant.room);
    if (anew) this.#direct(true);
    else this.#player?.adopt(grant.hls_url, grant.token);
    this.#broken = false;
    this.#refresh();
  }

  #refuse(problem: Problem): void {
    this.leave();
    this.view.patch({ refusal: problem });
  }

  #startFeed(room: string): void {
    this.#feed?.stop();
    this.#feed = new RoomFeed(room, () => this.view.value.grant?.token ?? "", {
      status: (status) => this.#onStatus(status),
      up: (up) => this.#onHearing(up),
      refused: () => void this.#renew().then(() => this.#feed?.restart()),
    });
    this.#feed.restart();
    this.#timing.abort();
    this.#timing = linkedAbort(this.#run.signal);
    void this.#keepClock(this.#timing.signal);
  }

  #onHearing(up: boolean): void {
    this.#deaf = !up;
    this.#refresh();
  }

  #onStatus(status: RoomStatus): void {
    this.clock.addPush(Date.now(), status.server_time * 1000);
    const former = this.view.value.status;
    this.view.patch({ status });
    if (former?.state !== status.state) this.#direct(false, former?.state);
    this.#refresh();
  }

  /** Make the player do what the room's state asks for. */
  #direct(reload = false, former: RoomState | null = null): void {
    const { grant, status } = this.view.value;
    const player = this.#player;
    if (!player || !grant) return;
    const state = status?.state ?? null;
    player.expect(state === "live");
    if (state === "live" && former === "reconnecting") player.resume();
    if (state === "waiting" || state === "ended") player.stop();
    else if (state !== "reconnecting" && (reload || !player.loaded)) void player.load(grant.hls_url);
  }

  #onFirstFrame(): void {
    this.#attempt = 0;
    if (this.view.value.firstFrameMs === null) {
      this.view.patch({ firstFrameMs: Math.round(performance.now() - this.#joinedAtMs) });
    }
  }

  #onFailure(failure: Failure): void {
    const state = this.view.value.status?.state ?? null;
    if (failure.kind === "codec") {
      this.#supported = false;
      return this.#refresh();
    }
    if (failure.kind === "refused") return void this.#renew(true);
    // Nothing to play yet, or no longer: the feed will say when to load again.
    if (state !== "live") return this.#player?.stopKeepingPicture();
    void this.#relocate();
  }

  /** The node is gone or broken: ask for a place again, after a wait that spreads the class. */
  async #relocate(): Promise<void> {
    if (this.#asking || this.#broken) return;
    this.#broken = true;
    const { signal } = this.#run;
    const waitMs = delayMs(this.#attempt++, BACKOFF);
    this.view.patch({ trouble: new Problem(0, "media", ""), retryAtMs: Date.now() + waitMs });
    this.#refresh();
    await sleep(waitMs, signal).catch(() => undefined);
    if (!signal.aborted) await this.#obtain(signal);
  }

  #scheduleRenewal(grant: Grant): void {
    clearTimeout(this.#renewal);
    const waitMs = renewalDelayMs(grant.expires_at * 1000, this.clock.toServerMs(Date.now()));
    this.#renewal = setTimeout(() => void this.#renew(), waitMs);
  }

  /** A fresh token. `broken`: the old one was refused, so the source has to be loaded again. */
  async #renew(broken = false): Promise<void> {
    if (this.#asking) return;
    if (broken && this.#broken) return;
    this.#broken ||= broken;
    if (broken && this.#attempt++ > 0) await sleep(delayMs(this.#attempt, BACKOFF), this.#run.signal).catch(() => undefined);
    await this.#obtain(this.#run.signal);
  }

  async #keepClock(signal: AbortSignal): Promise<void> {
    for (let round = 0; !signal.aborted; round += 1) {
      const { grant } = this.view.value;
      if (grant) await this.#askTime(grant, signal);
      await sleep(CLOCK_FIRST_MS[round] ?? CLOCK_PERIOD_MS, signal).catch(() => undefined);
    }
  }

  async #askTime(grant: Grant, signal: AbortSignal): Promise<void> {
    const sent = Date.now();
    try {
      const status = await api.room(grant.room, grant.token, signal);
      this.clock.addRoundTrip(sent, Date.now(), status.server_time * 1000);
      if (!this.view.value.status && !signal.aborted) this.#onStatus(status);
    } catch {
      // The feed deals with lost connections and refused tokens.
    }
  }

  async #checkSupport(): Promise<void> {
    if (liveSupported()) return;
    const Hls: HlsClass | null = await loadHls().catch(() => null);
    this.#supported = Hls === null || Hls.isSupported() || nativeHls();
    this.#refresh();
  }

  #refresh(): void {
    const { grant, status, refusal } = this.view.value;
    const playing = this.#player?.view.value.playing ?? false;
    const phase = phaseOf({
      supported: this.#supported,
      joined: this.#request !== null && refusal === null,
      granted: grant !== null,
      room: status?.state ?? null,
      playing,
      broken: this.#broken || (this.#deaf && !playing),
    });
    this.view.patch({ phase });
  }
}
