import { choice } from "../path.ts";
import type { LowDelayEngine, LowDelayEvents } from "./engine.ts";
import type { Reason } from "./messages.ts";

/** `silent`: nobody listens, so the picture need not wait for its sound. */
export type LowDelay = "off" | "on" | "silent";

/** Whether this page plays live.mp4 with the lowest delay. */
export class LowDelayChoice {
  /** What the class asks for. */
  wanted: LowDelay = "off";
  #left: Reason | null = null;

  /** The address decides, else the class, unless it did not work here before. */
  get active(): boolean {
    const forced = choice.forcedDelay;
    return this.#left === null && (forced === null ? this.wanted !== "off" : forced !== "live");
  }

  /** Why it was given up; null: it was not. */
  get left(): Reason | null {
    return this.#left;
  }

  /** It does not work here: not for as long as this page is open. */
  leave(reason: Reason): void {
    this.#left = reason;
    console.info(`airnode: the lowest delay is not possible here (${reason})`);
  }

  /** Null: this browser cannot do it. */
  async make(video: HTMLVideoElement, events: LowDelayEvents): Promise<LowDelayEngine | null> {
    const made = await import("./engine.ts").catch(() => null);
    if (!made?.lowDelaySupported()) return null;
    const silent = this.wanted === "silent";
    const free = silent || choice.forcedDelay === "lowdelay-free";
    return new made.LowDelayEngine(video, { free, silent }, events);
  }
}
