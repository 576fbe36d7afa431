import { codeFromAddress, JOIN_AT_ONCE } from "../lib/code.ts";
import { Store } from "../lib/store.ts";
import { forThisTab, ownName, userId } from "../lib/storage.ts";
import { ChatRoom } from "../chat/room.ts";
import type { LiveRoom } from "../live/room.ts";
import { Shelf } from "../recordings/shelf.ts";

const JOINED = "class.joined";

export interface VisitView {
  /** The code in the address, or typed. */
  code: string | null;
  joined: boolean;
  /** The teacher removed this student. */
  removed: boolean;
  /** The recording that is watched instead of the class: `?recording=` in the address. */
  recording: string | null;
  /** Where playback begins, in seconds; negative: before the recording's end. */
  fromS: number;
}

function recordingInAddress(): string | null {
  return new URLSearchParams(location.search).get("recording");
}

function pathOf(code: string): string {
  return `/class/${encodeURIComponent(code)}`;
}

/** Which class this tab is in: the address holds the code, so links, reload and the back button work. */
export class ClassVisit {
  readonly room: LiveRoom;
  readonly chat: ChatRoom;
  readonly shelf: Shelf;
  readonly view: Store<VisitView>;

  constructor(room: LiveRoom) {
    this.room = room;
    this.chat = new ChatRoom(room);
    this.shelf = new Shelf(room);
    const code = codeFromAddress(location.pathname, location.search);
    this.view = new Store<VisitView>({ code, joined: false, removed: false, recording: recordingInAddress(), fromS: 0 });
    window.addEventListener("popstate", () => this.#read());
    room.view.subscribe(() => this.#onRoom());
    this.chat.view.subscribe(() => this.chat.view.value.link === "removed" && this.#onRemoved());
    this.#read();
  }

  join(code: string, name = ownName.get()): void {
    ownName.set(name);
    forThisTab.set(JOINED, code);
    const recording = location.pathname === pathOf(code) ? recordingInAddress() : null;
    this.view.patch({ code, joined: true, removed: false, recording });
    this.room.join({ user_type: "student", user_id: userId(), code, name, student: "new" });
  }

  /** Raises Problem when the server refuses the name. */
  async rename(name: string): Promise<void> {
    await this.room.rename(name);
    ownName.set(name);
  }

  leave(): void {
    forThisTab.set(JOINED, null);
    this.room.leave();
    this.view.patch({ joined: false });
  }

  /** Watch a recording; the back button leads back to the class. */
  watch(recording: string, fromS = 0): void {
    if (recording !== recordingInAddress()) history.pushState(null, "", `${location.pathname}?recording=${encodeURIComponent(recording)}`);
    this.view.patch({ recording, fromS });
  }

  /** Back to the class. */
  toClass(): void {
    history.pushState(null, "", location.pathname);
    this.view.patch({ recording: null, fromS: 0 });
  }

  /** Back to the empty form. */
  otherCode(): void {
    this.leave();
    history.pushState(null, "", "/class");
    this.view.set({ code: null, joined: false, removed: false, recording: null, fromS: 0 });
  }

  /** Only the code of a class that let us in becomes the address: Back must not lead to a wrong one. */
  #onRoom(): void {
    const { grant, refusal } = this.room.view.value;
    const { code, joined } = this.view.value;
    if (refusal?.code === "removed") {
      this.#onRemoved();
    } else if (refusal) {
      forThisTab.set(JOINED, null);
      this.view.patch({ joined: false });
    } else if (grant && joined && code !== null && codeFromAddress(location.pathname, location.search) !== code) {
      history.pushState(null, "", pathOf(code));
    }
  }

  /** The picture stops at once, whatever the servers still send. */
  #onRemoved(): void {
    if (this.view.value.removed) return;
    forThisTab.set(JOINED, null);
    this.view.patch({ joined: false, removed: true });
    this.room.leave();
  }

  /** After a reload, join the class again that this tab was in; a link can ask for the same. */
  #read(): void {
    this.view.patch({ recording: recordingInAddress(), fromS: 0 });
    const code = codeFromAddress(location.pathname, location.search);
    const atOnce = location.hash === `#${JOIN_AT_ONCE}`;
    if (atOnce) history.replaceState(null, "", location.pathname + location.search);
    // At once, also without a name: such links lead a teacher from the studio to a recording.
    if (code && (atOnce || forThisTab.get(JOINED) === code)) {
      if (!this.view.value.joined || this.view.value.code !== code) this.join(code);
      return;
    }
    if (this.view.value.joined) this.room.leave();
    this.view.patch({ code, joined: false });
  }
}
