/**
 * One person's session in one room, as a pure state machine: {@link transition} takes a state and an event and returns
 * the next state and the commands. `session.ts` and `room.ts` carry the commands out; random waits are drawn there.
 *
 *   outside --join--> joining --granted--> placed --tokenStale, feedRefused--> renewing
 *                        |                 ^ |  ^                               |   |
 *                     refused      granted | |  +------------granted------------+   | nodeLost, sourceRefused,
 *                        |                 | | nodeLost, sourceRefused              | or a problem while nothing plays
 *                        v                 | v                                      |
 *                     refused <--refused-- moving <---------------------------------+
 *
 * In `joining`, `renewing` and `moving` a request for a token is under way. `renewing` keeps the source that plays;
 * `moving` needs a token and then loads the source again. `refused` is also reached from `renewing`. `leave` leads from
 * every state to `outside`, and `join` from every state to `joining`.
 *
 * The room's feed has a state of its own. It is lost until it opens, also while its token is refused in between:
 *
 *   connecting --feedOpened--> open --feedLost--> lost --feedOpened--> open
 *   connecting, open --feedRefused--> refused --startFeed--> connecting
 *   lost --feedRefused--> lostAndRefused --startFeed--> lost
 */
import type { Problem } from "../api/client.ts";
import type { Grant, RoomState, RoomStatus } from "../api/types.ts";

export type FeedState = "connecting" | "open" | "lost" | "refused" | "lostAndRefused";

interface Context {
  feed: FeedState;
  /** What the feed reported last. */
  status: RoomStatus | null;
  /** Since when the class is live, unix seconds: a teacher's reconnection does not count as a new beginning. */
  liveSince: number | null;
  /** Why the server refused to let the person in. Only in the state `refused`. */
  refusal: Problem | null;
  /** Why the last try brought no token; null when the request only waits for its turn. */
  problem: Problem | null;
  /** When the next try is, local unix ms. */
  retryAtMs: number | null;
  /** Sources in a row that failed soon after they began. */
  failedSources: number;
  /** Tokens in a row that the feed refused. It survives `leave`: a server that refuses every token is not asked without a pause. */
  feedRefusals: number;
  /** When another node took over, local unix ms. */
  movedAtMs: number | null;
}

type Unplaced = Context & { name: "outside" | "joining" | "refused"; grant: null };
type Placed = Context & { name: "placed" | "renewing" | "moving"; grant: Grant };
export type SessionState = Unplaced | Placed;

/** What happens to somebody who holds a token. */
type PlacedEvent =
  | { type: "tokenStale" | "feedOpened" | "feedLost" | "feedRefused" }
  | { type: "status"; status: RoomStatus }
  /** `lasted`: the source played long enough to count as a good one. */
  | { type: "sourceRefused"; lasted: boolean }
  | { type: "nodeLost"; nodeId: string; lasted: boolean };

export type SessionEvent =
  | { type: "join" | "leave" | "retry" }
  | { type: "granted"; grant: Grant; nowMs: number }
  /** `problem` is null when the wait only spreads the requests; `playing`: a picture is on screen. */
  | { type: "waiting"; problem: Problem | null; retryAtMs: number; playing: boolean }
  | { type: "refused"; problem: Problem }
  | PlacedEvent;

/** `herd`: a random wait that spreads a class; `backoff`: a wait that grows with `attempt`. */
export type Wait = { kind: "none" | "herd" } | { kind: "backoff"; attempt: number };

/** What the session itself does. */
export type SessionCommand =
  /** Stop the request, the feed and every timer. */
  | { type: "close" }
  /** Ask for a token after `wait`; this replaces a request that is under way. */
  | { type: "ask"; wait: Wait }
  | { type: "startFeed"; room: string }
  | { type: "scheduleRenewal"; grant: Grant }
  /** Name this node as one that failed in the next requests. */
  | { type: "avoidNode"; nodeId: string };

/** What the player has to do, if there is one. */
export type PlayerCommand =
  | { type: "stop" }
  | { type: "load" }
  | { type: "adopt"; grant: Grant }
  /** Drop the source, but keep its last picture on screen. */
  | { type: "releasePicture" }
  /** The room's state changed from `former`. */
  | { type: "direct"; former: RoomState | null }
  /** Load the source again if no media comes from it. */
  | { type: "refreshQuietSource" };

export type Command = SessionCommand | PlayerCommand;
type Step = [SessionState, Command[]];

const NO_WAIT: Wait = { kind: "none" };
const HERD: Wait = { kind: "herd" };

export const OUTSIDE: SessionState = {
  name: "outside",
  grant: null,
  feed: "connecting",
  status: null,
  liveSince: null,
  refusal: null,
  problem: null,
  retryAtMs: null,
  failedSources: 0,
  feedRefusals: 0,
  movedAtMs: null,
};

export function isFeedLost({ feed }: SessionState): boolean {
  return feed === "lost" || feed === "lostAndRefused";
}

/** Return whether a token is held and the source of its node may be loaded. */
export function maySourceLoad({ name }: SessionState): boolean {
  return name === "placed" || name === "renewing";
}

/** Return whether the server answers with a problem while nothing can play. */
export function isStuck({ name, problem }: SessionState): boolean {
  return (name === "joining" || name === "moving") && problem !== null;
}

/** An event that means nothing in the present state changes nothing. */
export function transition(state: SessionState, event: SessionEvent): Step {
  switch (event.type) {
    case "join":
      return [{ ...left(state), name: "joining" }, [{ type: "close" }, { type: "stop" }, { type: "ask", wait: NO_WAIT }]];
    case "leave":
      return [left(state), [{ type: "close" }, { type: "stop" }]];
    case "retry":
      return [state, state.name === "moving" || isStuck(state) ? [{ type: "ask", wait: NO_WAIT }] : []];
    case "granted":
      return onGranted(state, event.grant, event.nowMs);
    case "waiting":
      return onWaiting(state, event);
    case "refused":
      if (!isAsking(state)) return [state, []];
      return [{ ...left(state), name: "refused", refusal: event.problem }, [{ type: "close" }, { type: "stop" }]];
    default:
      return isPlaced(state) ? onPlacedEvent(state, event) : [state, []];
  }
}

function onPlacedEvent(state: Placed, event: PlacedEvent): Step {
  switch (event.type) {
    case "tokenStale":
      return renew(state, NO_WAIT);
    case "feedOpened":
      return [{ ...state, feed: "open" }, []];
    case "feedLost":
      return [{ ...state, feed: "lost" }, []];
    case "feedRefused":
      return onFeedRefused(state);
    case "status":
      return onStatus(state, event.status);
    case "sourceRefused":
      // A fresh token may be all that the same source needs.
      return move(state, NO_WAIT, event.lasted, []);
    case "nodeLost":
      if (event.nodeId !== state.grant.node_id) return [state, []];
      return move(state, HERD, event.lasted, [{ type: "avoidNode", nodeId: event.nodeId }]);
  }
}

function isPlaced(state: SessionState): state is Placed {
  return state.grant !== null;
}

function isAsking({ name }: SessionState): boolean {
  return name === "joining" || name === "renewing" || name === "moving";
}

function left({ feedRefusals }: SessionState): Unplaced {
  return { ...OUTSIDE, name: "outside", grant: null, feedRefusals };
}

function onGranted(state: SessionState, grant: Grant, nowMs: number): Step {
  if (!isAsking(state)) return [state, []];
  const reload = state.name !== "renewing";
  // The server itself was away, or there was no feed yet: nobody reported what the room did meanwhile.
  const unreported = !isPlaced(state) || isFeedLost(state) || state.problem !== null;
  const restartFeed = unreported || state.feed === "refused";
  const moved = isPlaced(state) && state.grant.node_id !== grant.node_id;
  const next: Placed = {
    ...state,
    name: "placed",
    grant,
    feed: restartFeed ? (isFeedLost(state) ? "lost" : "connecting") : state.feed,
    ...(unreported && reload && { status: null, liveSince: null }),
    problem: null,
    retryAtMs: null,
    movedAtMs: moved ? nowMs : state.movedAtMs,
  };
  const commands: Command[] = [{ type: "scheduleRenewal", grant }];
  if (restartFeed) commands.push({ type: "startFeed", room: grant.room });
  commands.push(reload ? { type: "load" } : { type: "adopt", grant });
  return [next, commands];
}

function onWaiting(state: SessionState, event: { problem: Problem | null; retryAtMs: number; playing: boolean }): Step {
  if (!isAsking(state)) return [state, []];
  const { problem, retryAtMs, playing } = event;
  // Nothing plays, so nothing is lost when the source is loaded again.
  if (state.name === "renewing" && problem && !playing) return [{ ...state, name: "moving", problem, retryAtMs }, []];
  return [{ ...state, problem, retryAtMs }, []];
}

/** Ask for a fresh token while the source plays on, unless a request is under way. */
function renew(state: Placed, wait: Wait): Step {
  return state.name === "placed" ? [{ ...state, name: "renewing" }, [{ type: "ask", wait }]] : [state, []];
}

function onFeedRefused(state: Placed): Step {
  const feed = isFeedLost(state) ? "lostAndRefused" : "refused";
  return renew({ ...state, feed, feedRefusals: state.feedRefusals + 1 }, { kind: "backoff", attempt: state.feedRefusals });
}

function onStatus(state: Placed, status: RoomStatus): Step {
  const former = state.status;
  const commands: Command[] = [];
  if (former?.state !== status.state) commands.push({ type: "direct", former: former?.state ?? null });
  const next = { ...state, status, liveSince: liveSince(state, status), feedRefusals: 0 };
  if (status.state !== "live" || !former || former.epoch === status.epoch) return [next, commands];
  // The teacher continues, perhaps from another node: whoever waits or stands still has something to play now.
  if (state.name === "moving" && state.problem === null) commands.push({ type: "ask", wait: HERD });
  else commands.push({ type: "refreshQuietSource" });
  return [{ ...next, failedSources: 0 }, commands];
}

/** Return when the class went live. A page that was loaded since then knows it from the server only, an origin that took over from none. */
function liveSince(state: Placed, status: RoomStatus): number | null {
  if (status.state !== "live" && status.state !== "reconnecting") return null;
  const known = [status.live_since, state.liveSince].filter((since): since is number => Boolean(since));
  if (known.length > 0) return Math.min(...known);
  return status.state === "live" ? status.since : null;
}

/** The source cannot go on: ask for a token, then load it again. `firstWait`: before the first such request in a row. */
function move(state: Placed, firstWait: Wait, lasted: boolean, commands: Command[]): Step {
  if (state.name === "moving") return [state, []];
  const failed = lasted ? 0 : state.failedSources;
  const wait: Wait = failed === 0 ? firstWait : { kind: "backoff", attempt: failed };
  const next: Placed = { ...state, name: "moving", problem: null, failedSources: failed + 1 };
  return [next, [...commands, { type: "releasePicture" }, { type: "ask", wait }]];
}
