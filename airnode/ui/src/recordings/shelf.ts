import { api, Problem } from "../api/client.ts";
import type { Grant, Recording, RecordingState } from "../api/types.ts";
import { herdDelayMs } from "../lib/backoff.ts";
import { Store } from "../lib/store.ts";
import type { LiveRoom } from "../live/room.ts";
import { roomBase } from "../player/retoken.ts";

/** A running recording grows; its length is requested this often. */
const GROWING_MS = 15_000;
const SETTLING_MS = 1_500;
const RETRY_MS = 10_000;

export interface ShelfView {
  /** The newest first; null until the first answer. */
  recordings: Recording[] | null;
  state: RecordingState | null;
  /** The class is being recorded: the room's feed reports a change before the list has it. */
  recording: boolean;
  /** Why the last request for the list failed. */
  trouble: Problem | null;
}

const EMPTY: ShelfView = { recordings: null, state: null, recording: false, trouble: null };

/** A room's recordings, kept up to date with what the room does. */
export class Shelf {
  readonly view = new Store<ShelfView>(EMPTY);
  readonly #room: LiveRoom;
  #seen = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(room: LiveRoom) {
    this.#room = room;
    room.view.subscribe(() => this.#onRoom());
  }

  /** Return the address of a recording below the present node and token. */
  address(relative: string): string {
    const { grant } = this.#room.view.value;
    return grant ? roomBase(grant) + relative : "";
  }

  one(id: string): Recording | null {
    return this.view.value.recordings?.find(({ recording_id }) => recording_id === id) ?? null;
  }

  /** The running recording, if it can be watched. */
  get running(): Recording | null {
    return this.view.value.recordings?.find(({ status, available }) => status === "recording" && available) ?? null;
  }

  /** The teacher is live, so a running recording gets longer. */
  get grows(): boolean {
    return this.#room.view.value.status?.state === "live";
  }

  async refresh(): Promise<void> {
    const { grant } = this.#room.view.value;
    clearTimeout(this.#timer);
    if (!grant) return;
    try {
      const [list, state] = await Promise.all([
        api.recordings(grant.room, grant.token),
        api.recordingState(grant.room, grant.token),
      ]);
      if (this.#left(grant)) return;
      const recording = this.#room.view.value.status?.recording ?? state.recording;
      this.view.patch({ recordings: list.recordings, state, recording, trouble: null });
      const listed = list.recordings.some(({ status, available }) => status === "recording" && available);
      // A recording that just began or ended takes a moment to appear in the list.
      if (listed !== state.recording) this.#later(SETTLING_MS);
      else if (listed) this.#later(GROWING_MS);
    } catch (error) {
      if (this.#left(grant)) return;
      this.view.patch({ trouble: error instanceof Problem ? error : new Problem(0, "network", String(error)) });
      this.#later(RETRY_MS);
    }
  }

  /** Start or stop. Raises Problem when the server refuses. */
  async record(on: boolean): Promise<void> {
    const grant = this.#granted();
    this.view.patch({ state: await api.record(grant.room, { recording: on }, grant.token) });
    await this.refresh();
  }

  /** Raises Problem when the server refuses. */
  async remove({ recording_id, available }: Recording): Promise<void> {
    const grant = this.#granted();
    await api.removeRecording(grant.room, recording_id, !available, grant.token);
    const kept = this.view.value.recordings?.filter((each) => each.recording_id !== recording_id) ?? null;
    this.view.patch({ recordings: kept });
    await this.refresh();
  }

  #granted(): Grant {
    const { grant } = this.#room.view.value;
    if (!grant) throw new Problem(0, "network", "no token");
    return grant;
  }

  #left(grant: Grant): boolean {
    return this.#room.view.value.grant?.room !== grant.room;
  }

  /** Request the list again when the room changed in a way that can change it; the whole class gets that status at once. */
  #onRoom(): void {
    const { grant, status } = this.#room.view.value;
    if (!grant) {
      this.#seen = "";
      clearTimeout(this.#timer);
      return this.view.set(EMPTY);
    }
    if (status && status.recording !== this.view.value.recording) this.view.patch({ recording: status.recording });
    const seen = `${grant.room} ${status?.recording ?? false} ${status?.state === "live"} ${grant.node_id}`;
    if (seen === this.#seen) return;
    const first = this.#seen === "";
    this.#seen = seen;
    if (first) void this.refresh();
    else this.#later(0);
  }

  #later(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.refresh(), ms + herdDelayMs());
  }
}
