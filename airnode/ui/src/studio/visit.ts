import { api } from "../api/client.ts";
import type { ClassSummary, PublishAddress } from "../api/types.ts";
import { ChatRoom } from "../chat/room.ts";
import { language } from "../i18n/index.ts";
import { saveFile } from "../lib/save.ts";
import { Store } from "../lib/store.ts";
import { forThisTab, userId } from "../lib/storage.ts";
import type { LiveRoom } from "../live/room.ts";
import { GoLive } from "../publish/golive.ts";
import type { Place } from "../publish/messages.ts";
import { Shelf } from "../recordings/shelf.ts";

const SECRET = "studio.secret";

export interface StudioView {
  signedIn: boolean;
  /** The classes this teacher may open; null when the server does not list them. */
  classes: ClassSummary[] | null;
  /** The address with the renewed key; it replaces the one that came with the token. */
  address: PublishAddress | null;
  /** What the teacher set for the class here; null: what came with the token holds. */
  lowestDelay: boolean | null;
}

/** Signs a teacher in and keeps the chosen class. The secret lives in this tab only and never in the address. */
export class StudioVisit {
  readonly room: LiveRoom;
  readonly chat: ChatRoom;
  readonly shelf: Shelf;
  readonly golive = new GoLive((room, avoid) => this.#publishAt(room, avoid));
  readonly view = new Store<StudioView>({ signedIn: false, classes: null, address: null, lowestDelay: null });
  #secret: string | null;

  constructor(room: LiveRoom) {
    this.room = room;
    this.chat = new ChatRoom(room);
    this.shelf = new Shelf(room);
    this.#secret = secretFromHash() ?? forThisTab.get(SECRET);
    room.view.subscribe(() => this.#onRoom());
    window.addEventListener("popstate", () => this.#open());
    window.addEventListener("hashchange", () => this.#onHash());
    this.#open();
  }

  signIn(secret: string): void {
    this.#secret = secret;
    this.#open();
  }

  signOut(): void {
    this.#secret = null;
    this.golive.stop();
    this.golive.leave();
    forThisTab.set(SECRET, null);
    this.room.leave();
    this.view.set({ signedIn: false, classes: null, address: null, lowestDelay: null });
  }

  /** Go to another class; the address keeps it over a reload. */
  choose(room: string): void {
    if (room === this.room.view.value.grant?.room) return;
    history.pushState(null, "", `/studio?room=${encodeURIComponent(room)}`);
    this.#open();
  }

  /** Raises Problem when the server refuses. */
  async addClass(title: string): Promise<void> {
    const made = await api.addClass({ title }, this.#secret ?? "");
    await this.refreshClasses();
    this.choose(made.room);
  }

  /** Raises Problem when the server refuses. */
  async renewKey(): Promise<void> {
    const { grant } = this.room.view.value;
    if (grant) this.view.patch({ address: await api.renewKey(grant.room, grant.token) });
  }

  /** Raises Problem when the server refuses. */
  async setLowestDelay(wanted: boolean): Promise<void> {
    const { grant } = this.room.view.value;
    if (!grant) return;
    this.view.patch({ lowestDelay: wanted });
    try {
      await api.changeSettings(grant.room, { lowest_delay: wanted }, grant.token);
    } catch (error) {
      this.view.patch({ lowestDelay: !wanted });
      throw error;
    }
  }

  async #publishAt(room: string, avoid: string): Promise<Place> {
    const { browser_url, stream_key, node_id } = await api.publishAt(room, avoid, this.#secret ?? "");
    return { url: browser_url, key: stream_key, nodeId: node_id };
  }

  /** End the class for everybody. Raises Problem when the server refuses. */
  async endClass(): Promise<void> {
    const { grant } = this.room.view.value;
    if (grant) await api.endClass(grant.room, grant.token);
  }

  /** Save a part of a session's record as a file. Raises Problem when the server refuses. */
  async download(session: string, part: string): Promise<void> {
    const { grant } = this.room.view.value;
    if (!grant) return;
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
    const name = part === "record" ? "record.json" : `${part}.csv?lang=${language.value}&tz=${encodeURIComponent(zone)}`;
    await saveFile(`/api/rooms/${encodeURIComponent(grant.room)}/record/${encodeURIComponent(session)}/${name}`, grant.token);
  }

  async refreshClasses(): Promise<void> {
    if (!this.#secret) return;
    const answer = await api.classes(this.#secret).catch(() => null);
    if (answer) this.view.patch({ classes: answer.classes });
  }

  #open(): void {
    if (!this.#secret) return;
    const room = new URLSearchParams(location.search).get("room");
    const request = { user_type: "teacher", user_id: userId(), secret: this.#secret } as const;
    this.view.patch({ signedIn: true, address: null, lowestDelay: null });
    this.room.join(room ? { ...request, room } : request);
  }

  #onRoom(): void {
    const { grant, refusal } = this.room.view.value;
    if (refusal) {
      forThisTab.set(SECRET, null);
      this.#secret = null;
      this.view.patch({ signedIn: false });
    } else if (grant && this.#secret && forThisTab.get(SECRET) !== this.#secret) {
      forThisTab.set(SECRET, this.#secret);
    }
    if (grant && this.view.value.classes === null) void this.refreshClasses();
  }

  #onHash(): void {
    const secret = secretFromHash();
    if (secret) this.signIn(secret);
  }
}

/** Return the secret of `/studio#secret=…` and remove it from the address bar and the history at once. */
function secretFromHash(): string | null {
  const secret = new URLSearchParams(location.hash.slice(1)).get("secret");
  if (secret !== null) history.replaceState(null, "", location.pathname + location.search);
  return secret || null;
}
