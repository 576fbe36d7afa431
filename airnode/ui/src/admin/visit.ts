import { call, Problem } from "../api/client.ts";
import { delayMs, sleep } from "../lib/backoff.ts";
import { forThisTab } from "../lib/storage.ts";
import { Store } from "../lib/store.ts";
import type { NodeList, PipelineStatus, Responses, StreamList } from "../api/schema.ts";

const SECRET = "admin.secret";
const EVERY_MS = 2_000;
const BACKOFF = { baseMs: 1_000, capMs: 8_000 };

const SECTIONS = ["cluster", "classes", "pipeline"] as const;
export type Section = (typeof SECTIONS)[number];

/** What one poll returned. */
export interface Shot {
  nodes: NodeList;
  streams: StreamList;
  pipeline: PipelineStatus;
}

export interface AdminView {
  signedIn: boolean;
  section: Section;
  shot: Shot | null;
  /** Why the last poll failed; `shot` is then that of the poll before. */
  error: unknown;
  /** Why the server refused the secret. */
  refusal: unknown;
}

/** Signs an administrator in and polls the cluster and the pipeline every two seconds. The secret lives in this tab only. */
export class AdminVisit {
  readonly view = new Store<AdminView>({ signedIn: false, section: sectionOf(), shot: null, error: null, refusal: null });
  #secret: string | null;
  #run: AbortController | null = null;
  #wake: (() => void) | null = null;

  constructor() {
    this.#secret = secretFromHash() ?? forThisTab.get(SECRET);
    window.addEventListener("popstate", () => this.view.patch({ section: sectionOf() }));
    window.addEventListener("hashchange", () => {
      const secret = secretFromHash();
      if (secret) this.signIn(secret);
    });
    document.addEventListener("visibilitychange", () => this.#wake?.());
    if (this.#secret) this.signIn(this.#secret);
  }

  signIn(secret: string): void {
    this.#secret = secret;
    this.view.patch({ signedIn: true, refusal: null, error: null });
    this.#run?.abort();
    this.#run = new AbortController();
    void this.#poll(this.#run.signal);
  }

  signOut(refusal: unknown = null): void {
    this.#run?.abort();
    this.#secret = null;
    forThisTab.set(SECRET, null);
    this.view.set({ ...this.view.value, signedIn: false, shot: null, error: null, refusal });
  }

  open(section: Section): void {
    if (section === this.view.value.section) return;
    history.pushState(null, "", pathOf(section));
    this.view.patch({ section });
    window.scrollTo(0, 0);
  }

  /** Raises Problem when the server refuses. */
  async drain(nodeId: string, on: boolean): Promise<void> {
    await this.#call(`/cluster/nodes/${encodeURIComponent(nodeId)}/${on ? "drain" : "undrain"}`, "POST");
    this.#wake?.();
  }

  async #poll(signal: AbortSignal): Promise<void> {
    for (let failed = 0; !signal.aborted; ) {
      try {
        const [pipeline, nodes, streams] = await Promise.all([
          this.#call<Responses["GET /api/pipeline/status"]>("/api/pipeline/status", "GET", signal),
          this.#call<Responses["GET /cluster/nodes"]>("/cluster/nodes", "GET", signal),
          this.#call<Responses["GET /cluster/streams"]>("/cluster/streams", "GET", signal),
        ]);
        if (signal.aborted) return;
        forThisTab.set(SECRET, this.#secret);
        this.view.patch({ shot: { nodes, streams, pipeline }, error: null });
        failed = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Problem && (error.refused || (error.status === 429 && !this.view.value.shot))) return this.signOut(error);
        this.view.patch({ error });
        failed += 1;
      }
      await this.#pause(failed ? delayMs(failed - 1, BACKOFF) : EVERY_MS, signal);
    }
  }

  /** Wait until the next poll is due and the page is visible. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new Promise<void>((resolve) => (this.#wake = resolve));
    await Promise.race([sleep(ms, signal).catch(() => undefined), woken]);
    while (document.hidden && !signal.aborted) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  #call<T>(path: string, method: "GET" | "POST", signal?: AbortSignal): Promise<T> {
    return call<T>(path, { method, bearer: this.#secret ?? "", signal });
  }
}

export function pathOf(section: Section): string {
  return section === "cluster" ? "/admin" : `/admin/${section}`;
}

function sectionOf(): Section {
  return SECTIONS.find((section) => location.pathname.endsWith(`/${section}`)) ?? "cluster";
}

/** Return the secret of `/admin#secret=…` and remove it from the address bar and the history at once. */
function secretFromHash(): string | null {
  const secret = new URLSearchParams(location.hash.slice(1)).get("secret");
  if (secret !== null) history.replaceState(null, "", location.pathname + location.search);
  return secret || null;
}
