import { codeFromAddress } from "../lib/code.ts";
import { Store } from "../lib/store.ts";
import { forThisTab, userId } from "../lib/storage.ts";
import type { LiveRoom } from "../live/room.ts";

const JOINED = "class.joined";

export interface VisitView {
  /** The code in the address, or typed. */
  code: string | null;
  joined: boolean;
}

/** Which class this tab is in: the address holds the code, so links, reload and the back button work. */
export class ClassVisit {
  readonly room: LiveRoom;
  readonly view: Store<VisitView>;

  constructor(room: LiveRoom) {
    this.room = room;
    this.view = new Store<VisitView>({ code: codeFromAddress(location.pathname, location.search), joined: false });
    window.addEventListener("popstate", () => this.#read());
    room.view.subscribe(() => room.view.value.refusal && this.#turnedAway());
    this.#read();
  }

  join(code: string): void {
    const path = `/class/${encodeURIComponent(code)}`;
    if (location.pathname !== path) history.pushState(null, "", path);
    forThisTab.set(JOINED, code);
    this.view.set({ code, joined: true });
    this.room.join({ user_type: "student", user_id: userId(), code });
  }

  leave(): void {
    forThisTab.set(JOINED, null);
    this.room.leave();
    this.view.set({ code: this.view.value.code, joined: false });
  }

  /** Back to the empty form. */
  otherCode(): void {
    this.leave();
    history.pushState(null, "", "/class");
    this.view.set({ code: null, joined: false });
  }

  #turnedAway(): void {
    forThisTab.set(JOINED, null);
    this.view.patch({ joined: false });
  }

  /** A reload of a class we were in goes straight back in. */
  #read(): void {
    const code = codeFromAddress(location.pathname, location.search);
    if (code && forThisTab.get(JOINED) === code) {
      if (!this.view.value.joined || this.view.value.code !== code) this.join(code);
      return;
    }
    if (this.view.value.joined) this.room.leave();
    this.view.set({ code, joined: false });
  }
}
