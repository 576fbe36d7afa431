import { api, Problem } from "../api/client.ts";
import { RoomFeed } from "../api/feed.ts";
import type { Grant, RoomState, RoomStatus, TokenRequest } from "../api/types.ts";
import { delayMs, herdDelayMs, linkedAbort, sleep } from "../lib/backoff.ts";
import { ServerClock } from "../lib/clock.ts";
import { Store } from "../lib/store.ts";
import type { Failure } from "../player/engine.ts";
import { loadHls, type HlsClass } from "../player/hls.ts";
import { liveSupported } from "../player/live.ts";
import { nativeHls } from "../player/native.ts";
import { Player } from "../player/player.ts";
import { QUIET_MS } from "../player/silence.ts";
import { Asking, BACKOFF } from "./asking.ts";
import { FailedNodes } from "./failed.ts";
import { phaseOf, type Phase } from "./phase.ts";
import { reach } from "./reach.ts";
import { renewalDelayMs } from "./renewal.ts";

/** A source that played for so long was a good one: losing it is the first failure, not one more in a row. */
const LASTING_MS = 10_000;
const CLOCK_PERIOD_MS = 60_000;
const CLOCK_FIRST_MS = [1_500, 2_500, 4_000];

export interface RoomView {
  phase: Phase;
  grant: Grant | null;
  status: RoomStatus | null;
  /** Why the way in was refused: the person has to do something. */
  refusal: Problem | null;
  /** Why no token or place could be had, and when the next try is (local unix ms); what plays may go on playing. */
  trouble: Problem | null;
  retryAtMs: number | null;
  firstFrameMs: number | null;
  /** The picture goes on, but the server does not answer. */
  away: boolean;
  /** When another node took over (local unix ms). */
  movedAtMs: number | null;
}

const NOWHERE: RoomView = {
  phase: "idle",
  grant: null,
  status: null,
  refusal: null,
  trouble: null,
  retryAtMs: null,
  firstFrameMs: null,
  away: false,
  movedAtMs: null,
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
  readonly #failed = new FailedNodes();
  readonly #asking = new Asking({
    attempt: (signal) => this.#attempt(signal),
    refused: (problem) => this.#refuse(problem),
    waiting: (problem, forMs) => this.#onWaiting(problem, forMs),
  });
  /** The source has to be loaded anew, from the place that is being asked for. */
  #broken = false;
  #suspecting = false;
  #deaf = false;
  #feedRefused = false;
  #feedRefusals = 0;
  #supported = true;
  /** Sources in a row that did not last. */
  #sources = 0;
  /** Since when the present source plays (performance.now() ms); Infinity: not yet. */
  #playsSinceMs = Infinity;
  #renewal: ReturnType<typeof setTimeout> | undefined;

  /** Join; while a token is on its way the player's script loads too. */
  join(request: TokenRequest): void {
    this.leave();
    this.#request = request;
    this.#joinedAtMs = performance.now();
    this.#sources = 0;
    this.view.set(NOWHERE);
    void this.#checkSupport();
    this.#refresh();
    this.#asking.begin();
  }

  leave(): void {
    this.#run.abort();
    this.#run = new AbortController();
    this.#asking.stop();
    this.#failed.clear();
    clearTimeout(this.#renewal);
    this.#feed?.stop();
    this.#feed = null;
    this.#player?.stop();
    this.#request = null;
    this.#broken = false;
    this.#suspecting = false;
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
      suspect: () => void this.#suspect(),
      reachable: () => this.#reachable(),
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
    if (this.#broken) this.#asking.begin();
  }

  async #attempt(signal: AbortSignal): Promise<Problem | null> {
    const request = this.#request;
    if (!request) return null;
    const avoid = this.#failed.listed(performance.now());
    const asked = avoid && request.user_type === "student" ? { ...request, avoid } : request;
    try {
      const grant = await api.token(asked, this.view.value.grant?.token, signal);
      if (!signal.aborted) this.#accept(grant);
      return null;
    } catch (error) {
      return error instanceof Problem ? error : new Problem(0, "network", String(error));
    }
  }

  #accept(grant: Grant): void {
    const { grant: former, trouble } = this.view.value;
    const anew = this.#broken || !former;
    // The server itself was away: what the room did before says nothing now, the feed has to tell again.
    const untold = !former || this.#deaf || trouble !== null;
    this.#broken = false;
    this.view.patch({ grant, trouble: null, retryAtMs: null, ...(untold && anew && { status: null }) });
    this.#scheduleRenewal(grant);
    if (untold || this.#feedRefused) this.#startFeed(grant.room);
    if (former && former.node_id !== grant.node_id) this.view.patch({ movedAtMs: Date.now() });
    if (anew) this.#direct(true);
    else this.#player?.adopt(grant.hls_url, grant.token);
    this.#refresh();
  }

  #onWaiting(problem: Problem | null, forMs: number): void {
    // Nothing plays, so nothing is lost by loading it anew.
    if (problem && !this.#player?.view.value.playing) this.#broken = true;
    this.view.patch({ trouble: problem, retryAtMs: Date.now() + forMs });
    this.#refresh();
  }

  #refuse(problem: Problem): void {
    this.leave();
    this.view.patch({ refusal: problem });
  }

  #startFeed(room: string): void {
    this.#feed?.stop();
    this.#feedRefused = false;
    this.#feed = new RoomFeed(room, () => this.view.value.grant?.token ?? "", {
      status: (status) => this.#onStatus(status),
      up: (up) => this.#onHearing(up),
      refused: () => this.#onFeedRefused(),
    });
    this.#feed.restart();
    this.#timing.abort();
    this.#timing = linkedAbort(this.#run.signal);
    void this.#keepClock(this.#timing.signal);
  }

  /** The feed wants a fresh token; a server that takes none of them must not be asked without a pause. */
  #onFeedRefused(): void {
    this.#feedRefused = true;
    this.#renew(delayMs(this.#feedRefusals++, BACKOFF));
  }

  #onHearing(up: boolean): void {
    this.#deaf = !up;
    this.#refresh();
  }

  #onStatus(status: RoomStatus): void {
    this.clock.addPush(Date.now(), status.server_time * 1000);
    const former = this.view.value.status;
    this.#feedRefusals = 0;
    this.view.patch({ status });
    if (former?.state !== status.state) this.#direct(false, former?.state);
    if (status.state === "live" && former && former.epoch !== status.epoch) this.#onNewEpoch();
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
    else if (state !== "reconnecting" && !this.#broken && (reload || !player.loaded)) void player.load(grant.hls_url);
  }

  /** The teacher goes on from another node: what waits or stands still has something to play now. */
  #onNewEpoch(): void {
    this.#sources = 0;
    if (this.#broken && this.view.value.trouble === null) this.#asking.begin(herdDelayMs());
    else if (this.#player?.loaded && this.#player.quietMs() > QUIET_MS) this.#direct(true);
  }

  #onFirstFrame(): void {
    this.#playsSinceMs = performance.now();
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
    if (failure.kind === "refused") return this.#reload();
    // Nothing to play yet, or no longer: the feed will say when to load again.
    if (state !== "live") return this.#player?.stopKeepingPicture();
    this.#relocate();
  }

  /** Nothing comes any more, and perhaps nothing will: ask the node itself, as errors may never come. */
  async #suspect(): Promise<void> {
    const { grant, status } = this.view.value;
    if (this.#broken || this.#suspecting || !grant || status?.state !== "live") return;
    this.#suspecting = true;
    const found = await reach(grant.hls_url, this.#run.signal);
    this.#suspecting = false;
    if (this.#broken || this.view.value.grant?.node_id !== grant.node_id) return;
    if (found === "gone" || (found === "silent" && (this.#player?.quietMs() ?? 0) > QUIET_MS)) this.#relocate();
  }

  /** What else is fetched from the node (a recording) does not come: see whether it is the token or the node. */
  async doubt(refused: boolean): Promise<void> {
    if (this.#broken) return;
    if (refused) this.#renew();
    else if (!(await this.#reachable())) this.#relocate();
  }

  async #reachable(): Promise<boolean> {
    const { grant } = this.view.value;
    return grant !== null && (await reach(grant.hls_url, this.#run.signal)) === "there";
  }

  /** The node is gone or broken: ask for a place on another, after a wait that spreads the class. */
  #relocate(): void {
    const { grant } = this.view.value;
    if (this.#broken || !grant) return;
    this.#failed.add(grant.node_id, performance.now());
    this.#anew(herdDelayMs());
  }

  /** The token was refused: with a fresh one the same source may go on. */
  #reload(): void {
    if (!this.#broken) this.#anew(0);
  }

  /** `firstMs`: how long the first time waits; the next ones in a row wait longer. */
  #anew(firstMs: number): void {
    if (performance.now() - this.#playsSinceMs > LASTING_MS) this.#sources = 0;
    this.#playsSinceMs = Infinity;
    const waitMs = this.#sources === 0 ? firstMs : delayMs(this.#sources, BACKOFF);
    this.#broken = true;
    this.#sources += 1;
    this.#player?.stopKeepingPicture();
    this.view.patch({ trouble: null });
    this.#asking.begin(waitMs);
    this.#refresh();
  }

  #scheduleRenewal(grant: Grant): void {
    clearTimeout(this.#renewal);
    const waitMs = renewalDelayMs(grant.expires_at * 1000, this.clock.toServerMs(Date.now()));
    this.#renewal = setTimeout(() => this.#renew(), waitMs);
  }

  /** A fresh token, while what plays plays on. */
  #renew(firstMs = 0): void {
    if (!this.#asking.underway) this.#asking.begin(firstMs);
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
    const { grant, status, refusal, trouble } = this.view.value;
    const playing = this.#player?.view.value.playing ?? false;
    const phase = phaseOf({
      supported: this.#supported,
      joined: this.#request !== null && refusal === null,
      granted: grant !== null,
      room: status?.state ?? null,
      playing,
      moving: this.#broken,
      broken: (this.#broken && trouble !== null) || (this.#deaf && !playing),
    });
    this.view.patch({ phase, away: playing && (this.#deaf || trouble !== null) });
  }
}
