import { call, Problem } from "../api/client.ts";
import { delayMs, sleep } from "../lib/backoff.ts";
import { forThisTab } from "../lib/storage.ts";
import { Store } from "../lib/store.ts";
import type { JobDetail, JobList, JobQueues, JobView, NodeList, PipelineStatus, Responses, StreamList } from "../api/schema.ts";

const SECRET = "admin.secret";
const JOBS_LISTED = 50;
const EVERY_MS = 2_000;
const BACKOFF = { baseMs: 1_000, capMs: 8_000 };

const SECTIONS = ["cluster", "classes", "jobs", "pipeline"] as const;
export type Section = (typeof SECTIONS)[number];

/** What one poll returned. */
export interface Shot {
  nodes: NodeList;
  streams: StreamList;
  pipeline: PipelineStatus;
}

/** Which jobs are listed. */
export interface JobChoice {
  queue: string;
  state: "" | JobView["state"];
  first: number;
}

/** The queues, and the jobs of the chosen one. */
export interface JobsShot {
  queues: JobQueues;
  choice: JobChoice;
  list: JobList | null;
}

export interface AdminView {
  signedIn: boolean;
  section: Section;
  shot: Shot | null;
  /** Polled while its section is open. */
  jobs: JobsShot | null;
  /** Why the last poll failed; `shot` is then that of the poll before. */
  error: unknown;
  /** Why the server refused the secret. */
  refusal: unknown;
}

/** Signs an administrator in and polls the cluster and the pipeline every two seconds. The secret lives in this tab only. */
export class AdminVisit {
  readonly view = new Store<AdminView>({ signedIn: false, section: sectionOf(), shot: null, jobs: null, error: null, refusal: null });
  #secret: string | null;
  #choice: JobChoice = { queue: "", state: "", first: 0 };
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
    this.view.set({ ...this.view.value, signedIn: false, shot: null, jobs: null, error: null, refusal });
  }

  open(section: Section): void {
    if (section === this.view.value.section) return;
    history.pushState(null, "", pathOf(section));
    this.view.patch({ section });
    window.scrollTo(0, 0);
    this.#wake?.();
  }

  /** List other jobs. */
  choose(change: Partial<JobChoice>): void {
    this.#choice = { ...this.#choice, ...change };
    this.#wake?.();
  }

  turnPage(pages: 1 | -1): void {
    this.choose({ first: Math.max(0, this.#choice.first + pages * JOBS_LISTED) });
  }

  /** Raises Problem when the server refuses, as the next two do. */
  job(job: JobView): Promise<JobDetail> {
    return this.#call<Responses["GET /api/jobs/{queue}/{job_id}"]>(jobPath(job), "GET");
  }

  async retryJob(job: JobView): Promise<void> {
    await this.#call(`${jobPath(job)}/retry`, "POST");
    this.#wake?.();
  }

  async cancelJob(job: JobView): Promise<void> {
    await this.#call(jobPath(job), "DELETE");
    this.#wake?.();
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
        const jobs = this.view.value.section === "jobs" ? await this.#jobs(signal) : this.view.value.jobs;
        if (signal.aborted) return;
        forThisTab.set(SECRET, this.#secret);
        this.view.patch({ shot: { nodes, streams, pipeline }, jobs, error: null });
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

  async #jobs(signal: AbortSignal): Promise<JobsShot> {
    const queues = await this.#call<Responses["GET /api/jobs"]>("/api/jobs", "GET", signal);
    const names = queues.queues.map(({ name }) => name);
    const busiest = [...queues.queues].sort((a, b) => b.active + b.waiting - (a.active + a.waiting))[0]?.name ?? "";
    const choice = names.includes(this.#choice.queue) ? this.#choice : { ...this.#choice, queue: busiest };
    this.#choice = choice;
    if (!choice.queue) return { queues, choice, list: null };
    const query = new URLSearchParams({ state: choice.state, first: String(choice.first), count: String(JOBS_LISTED) });
    const path = `/api/jobs/${encodeURIComponent(choice.queue)}?${query}`;
    return { queues, choice, list: await this.#call<Responses["GET /api/jobs/{queue}"]>(path, "GET", signal) };
  }

  /** Wait until the next poll is due and the page is visible. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new Promise<void>((resolve) => (this.#wake = resolve));
    await Promise.race([sleep(ms, signal).catch(() => undefined), woken]);
    while (document.hidden && !signal.aborted) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  #call<T>(path: string, method: "GET" | "POST" | "DELETE", signal?: AbortSignal): Promise<T> {
    return call<T>(path, { method, bearer: this.#secret ?? "", signal });
  }
}

function jobPath({ queue, id }: JobView): string {
  return `/api/jobs/${encodeURIComponent(queue)}/${encodeURIComponent(id)}`;
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
