import { api } from "../api/client.ts";
import type { ClassChange, ClassList, PublishAddress } from "../api/types.ts";
import { ChatRoom } from "../chat/room.ts";
import { Store } from "../lib/store.ts";
import { forThisTab, teacherName, userId } from "../lib/storage.ts";
import type { LiveRoom } from "../live/room.ts";
import { GoLive } from "../publish/golive.ts";
import type { Place } from "../publish/messages.ts";
import { Shelf } from "../recordings/shelf.ts";

const SECRET = "studio.secret";
const CLASSES = "/studio?view=classes";
/** The server says so only to those whose secret is right. */
const NO_NODES = "no_healthy_nodes";

export interface StudioView {
  signedIn: boolean;
  /** The server has taken the secret. Before, nothing else is asked for with it: each wrong one counts. */
  proven: boolean;
  page: "desk" | "classes";
  /** The class in the address is not there; the list of classes says so. */
  missing: boolean;
  /** The address with the renewed key; it replaces the one that came with the token. */
  address: PublishAddress | null;
  /** What the teacher set for the class here; null: what came with the token holds. */
  lowestDelay: boolean | null;
}

const SIGNED_OUT: StudioView = { signedIn: false, proven: false, page: "desk", missing: false, address: null, lowestDelay: null };

/** Signs a teacher in and keeps the chosen class. The secret lives in this tab only and never in the address. */
export class StudioVisit {
  readonly room: LiveRoom;
  readonly chat: ChatRoom;
  readonly shelf: Shelf;
  readonly golive = new GoLive((room, avoid) => this.#publishAt(room, avoid));
  readonly view = new Store<StudioView>({ ...SIGNED_OUT, page: pageInAddress() });
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

  signIn(secret: string, name = teacherName.get()): void {
    teacherName.set(name);
    if (secret !== this.#secret) this.view.patch({ proven: false });
    this.#secret = secret;
    this.#open();
  }

  signOut(): void {
    this.#secret = null;
    this.golive.stop();
    this.golive.leave();
    forThisTab.set(SECRET, null);
    this.room.leave();
    this.view.set(SIGNED_OUT);
  }

  /** Go to another class; the address keeps it over a reload. */
  choose(room: string): void {
    history.pushState(null, "", `/studio?room=${encodeURIComponent(room)}`);
    if (room === this.room.view.value.grant?.room) this.view.patch({ page: "desk", missing: false });
    else this.#open();
  }

  /** Go to the list of classes; what this browser publishes goes on. */
  showClasses(): void {
    history.pushState(null, "", CLASSES);
    this.view.patch({ page: "classes", missing: false });
  }

  /** Go on under another name. Raises Problem when the server refuses it. */
  async rename(name: string): Promise<void> {
    await this.room.rename(name);
    teacherName.set(name);
  }

  /** Raises Problem when the server refuses. */
  async addClass(title: string): Promise<void> {
    const made = await api.addClass({ title }, this.#secret ?? "");
    this.choose(made.room);
  }

  /** Raises Problem when the server refuses; so do the next ones. */
  listClasses(archived = false): Promise<ClassList> {
    return api.classes(archived, this.#secret ?? "");
  }

  async changeClass(room: string, change: ClassChange): Promise<void> {
    await api.changeClass(room, change, this.#secret ?? "");
    const { grant } = this.room.view.value;
    if (room !== grant?.room) return;
    if (change.archived) this.room.leave();
    else if (change.title) this.room.renew();
  }

  async makeTeacherKey(room: string): Promise<string> {
    return (await api.makeTeacherKey(room, this.#secret ?? "")).teacher_key;
  }

  async removeTeacherKey(room: string): Promise<void> {
    await api.removeTeacherKey(room, this.#secret ?? "");
  }

  addressOf(room: string): Promise<PublishAddress> {
    return api.publishAt(room, "", this.#secret ?? "");
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
    const { browser_url, stream_key, node_id } = await api.publishAt(room, avoid, this.#bearer(room));
    return { url: browser_url, key: stream_key, nodeId: node_id };
  }

  /** End the class for everybody. Raises Problem when the server refuses. */
  async endClass(): Promise<void> {
    const { grant } = this.room.view.value;
    if (grant) await api.endClass(grant.room, grant.token);
  }

  /** The key of a class opens only tokens; the secret also serves for a class that the studio has left. */
  #bearer(room: string): string {
    const { grant } = this.room.view.value;
    return grant?.room === room ? grant.token : (this.#secret ?? "");
  }

  #open(): void {
    if (!this.#secret) return;
    const room = new URLSearchParams(location.search).get("room");
    const request = { user_type: "teacher", user_id: userId(), secret: this.#secret, name: teacherName.get() } as const;
    const page = this.room.view.value.grant?.own_class ? "desk" : pageInAddress();
    this.view.patch({ signedIn: true, page, missing: false, address: null, lowestDelay: null });
    // Back from the list to the same class: nothing is opened anew.
    const here = this.room.view.value.grant?.room;
    if (here !== undefined && (page === "classes" || room === here)) return;
    this.room.join(room ? { ...request, room } : request);
  }

  #onRoom(): void {
    const { grant, refusal, trouble } = this.room.view.value;
    if (grant?.own_class && this.view.value.page === "classes") {
      // The key of a class opens no list.
      history.replaceState(null, "", "/studio");
      this.view.patch({ page: "desk" });
    }
    if (grant || refusal?.status === 404 || trouble?.code === NO_NODES) this.view.patch({ proven: true });
    if (refusal?.status === 404) {
      history.replaceState(null, "", CLASSES);
      this.view.patch({ page: "classes", missing: true });
    } else if (refusal) {
      forThisTab.set(SECRET, null);
      this.#secret = null;
      this.view.patch({ signedIn: false, proven: false });
    } else if (grant && this.#secret && forThisTab.get(SECRET) !== this.#secret) {
      forThisTab.set(SECRET, this.#secret);
    }
  }

  #onHash(): void {
    const secret = secretFromHash();
    if (secret) this.signIn(secret);
  }
}

function pageInAddress(): StudioView["page"] {
  return new URLSearchParams(location.search).get("view") === "classes" ? "classes" : "desk";
}

/** Return the secret of `/studio#secret=…` and remove it from the address bar and the history at once. */
function secretFromHash(): string | null {
  const secret = new URLSearchParams(location.hash.slice(1)).get("secret");
  if (secret !== null) history.replaceState(null, "", location.pathname + location.search);
  return secret || null;
}
