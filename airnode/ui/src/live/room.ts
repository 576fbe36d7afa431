import type { Problem } from "../api/client.ts";
import type { Grant, RoomState, RoomStatus, TokenRequest } from "../api/types.ts";
import type { ServerClock } from "../lib/clock.ts";
import { Store } from "../lib/store.ts";
import type { Failure } from "../player/engine.ts";
import { loadHls, type HlsClass } from "../player/hls.ts";
import { liveSupported } from "../player/live.ts";
import { nativeHls } from "../player/native.ts";
import { Player } from "../player/player.ts";
import { QUIET_MS } from "../player/silence.ts";
import { NodeProbe, reach } from "./node_probe.ts";
import { phaseOf, type Phase } from "./phase.ts";
import { isFeedLost, isStuck, maySourceLoad, type PlayerCommand } from "./session_state.ts";
import { Session } from "./session.ts";

/** A source that played for so long was a good one: losing it is the first failure, not one more in a row. */
const LASTING_MS = 10_000;

export interface RoomView {
  phase: Phase;
  grant: Grant | null;
  status: RoomStatus | null;
  /** Since when the class is live, unix seconds. */
  liveSince: number | null;
  /** Why the server refused to let the person in: the person has to do something. */
  refusal: Problem | null;
  /** Why there is no token or place, and when the next try is (local unix ms); what plays may play on. */
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
  liveSince: null,
  refusal: null,
  trouble: null,
  retryAtMs: null,
  firstFrameMs: null,
  away: false,
  movedAtMs: null,
};

/**
 * One person in one room: a session and a player.
 *
 * The session reports what the room does and holds the token. The player reports what the media does; the room turns this
 * into events of the session and carries out the session's commands for the player.
 */
export class LiveRoom {
  readonly view = new Store<RoomView>(NOWHERE);
  readonly #session = new Session({
    playing: () => this.#playing,
    control: (command) => this.#control(command),
    changed: () => this.#refresh(),
  });
  readonly #probe = new NodeProbe();
  #player: Player | null = null;
  #supported = true;
  #joinedAtMs = 0;
  /** From `join` to the first frame. */
  #firstFrameMs: number | null = null;
  /** Since when the present source plays (performance.now() ms); Infinity: not yet. */
  #playsSinceMs = Infinity;

  /** Join. The player's script loads while the token is requested. */
  join(request: TokenRequest): void {
    this.#joinedAtMs = performance.now();
    this.#firstFrameMs = null;
    void this.#checkSupport();
    this.#session.join(request);
  }

  leave(): void {
    this.#firstFrameMs = null;
    this.#session.dispatch({ type: "leave" });
  }

  /** Ask for a token anew: the class changed. */
  renew(): void {
    this.#session.amend({});
  }

  /** Go on under another name. Raises Problem when the server refuses it; then nothing changes. */
  async rename(name: string): Promise<void> {
    await this.#session.tryOut({ name });
    this.#session.amend({ name });
  }

  /** Make a player for the page's video element; null when the element goes. */
  attach(elements: { video: HTMLVideoElement; still: HTMLCanvasElement } | null): Player | null {
    this.#player?.destroy();
    this.#player = null;
    if (!elements) return null;
    const player = new Player(elements.video, elements.still, {
      firstFrame: () => this.#onFirstFrame(),
      failed: (failure) => this.#onFailure(failure),
      suspect: () => void this.#onSuspicion(),
      reachable: () => this.#isReachable(),
    });
    player.view.subscribe(() => this.#refresh());
    this.#player = player;
    this.#direct();
    return player;
  }

  get clock(): ServerClock {
    return this.#session.clock;
  }

  get player(): Player | null {
    return this.#player;
  }

  /** Capture to screen, in ms by the server's clock; null when nothing plays. */
  latencyMs(): number | null {
    const atMs = this.#player?.playingAtMs() ?? null;
    return atMs === null ? null : this.clock.toServerMs(Date.now()) - atMs;
  }

  /** Do not wait for the next try. */
  retryNow(): void {
    this.#session.dispatch({ type: "retry" });
  }

  /** Something else that the node serves (a recording) does not come: find out whether it is the token or the node. */
  async doubt(refused: boolean): Promise<void> {
    const { grant } = this.#session.state;
    if (refused) this.#session.dispatch({ type: "tokenStale" });
    else if (grant && maySourceLoad(this.#session.state) && !(await this.#isReachable())) this.#loseNode(grant);
  }

  get #playing(): boolean {
    return this.#player?.view.value.playing ?? false;
  }

  #control(command: PlayerCommand): void {
    switch (command.type) {
      case "stop":
        return this.#player?.stop();
      case "load":
        return this.#direct(true);
      case "adopt":
        return this.#player?.adopt(command.grant.hls_url, command.grant.token);
      case "releasePicture":
        this.#playsSinceMs = Infinity;
        return this.#player?.stopKeepingPicture();
      case "direct":
        return this.#direct(false, command.former);
      case "refreshQuietSource":
        if (this.#player?.loaded && this.#player.quietMs() > QUIET_MS) this.#direct(true);
    }
  }

  /** Make the player do what the room's state asks for. */
  #direct(reload = false, former: RoomState | null = null): void {
    const { grant, status } = this.#session.state;
    const player = this.#player;
    if (!player || !grant) return;
    const state = status?.state ?? null;
    // Teachers have a stream key. Nobody listens to their preview: the picture comes as soon as it can.
    player.lowDelay.wanted = grant.stream_key ? "silent" : grant.lowest_delay ? "on" : "off";
    player.expect(state === "live");
    if (state === "live" && former === "reconnecting") player.resume();
    // Nothing is asked for before there is something to play; the feed reports when that is.
    if (state === "waiting" || state === "ended" || (state === null && grant.waiting)) return player.stop();
    if (state === "reconnecting" || !maySourceLoad(this.#session.state)) return;
    if (reload || !player.loaded) void player.load(grant.hls_url);
  }

  #onFirstFrame(): void {
    this.#playsSinceMs = performance.now();
    this.#firstFrameMs ??= Math.round(performance.now() - this.#joinedAtMs);
    this.#refresh();
  }

  #onFailure(failure: Failure): void {
    const { grant, status } = this.#session.state;
    if (failure.kind === "codec") {
      this.#supported = false;
      return this.#refresh();
    }
    if (failure.kind === "refused") return this.#session.dispatch({ type: "sourceRefused", lasted: this.#hasLasted() });
    // There is nothing to play yet, or no longer: the feed reports when to load again.
    if (status?.state !== "live") return this.#player?.stopKeepingPicture();
    if (grant) this.#loseNode(grant);
  }

  /** No media comes, or a request got no answer. */
  async #onSuspicion(): Promise<void> {
    const { grant, status } = this.#session.state;
    if (!grant || status?.state !== "live" || !maySourceLoad(this.#session.state)) return;
    const quietMs = () => this.#player?.quietMs() ?? 0;
    if (await this.#probe.isLost(grant.hls_url, quietMs, this.#session.signal)) this.#loseNode(grant);
  }

  #loseNode({ node_id }: Grant): void {
    this.#session.dispatch({ type: "nodeLost", nodeId: node_id, lasted: this.#hasLasted() });
  }

  #hasLasted(): boolean {
    return performance.now() - this.#playsSinceMs > LASTING_MS;
  }

  async #isReachable(): Promise<boolean> {
    const { grant } = this.#session.state;
    return grant !== null && (await reach(grant.hls_url, this.#session.signal)) === "there";
  }

  async #checkSupport(): Promise<void> {
    if (liveSupported()) return;
    const Hls: HlsClass | null = await loadHls().catch(() => null);
    this.#supported = Hls === null || Hls.isSupported() || nativeHls();
    this.#refresh();
  }

  #refresh(): void {
    const { state } = this.#session;
    const { name, grant, status, liveSince, refusal, problem, retryAtMs, movedAtMs } = state;
    const playing = this.#playing;
    const phase = phaseOf({
      supported: this.#supported,
      joined: name !== "outside" && name !== "refused",
      granted: grant !== null,
      room: status?.state ?? null,
      playing,
      moving: name === "moving",
      unanswered: isStuck(state) || (isFeedLost(state) && !playing),
    });
    const away = playing && (isFeedLost(state) || problem !== null);
    const firstFrameMs = this.#firstFrameMs;
    this.view.patch({ phase, grant, status, liveSince, refusal, trouble: problem, retryAtMs, firstFrameMs, away, movedAtMs });
  }
}
