import { Problem } from "../api/client.ts";
import { Store } from "../lib/store.ts";
import { deviceTrouble, listDevices, openCamera, openMicrophone, openScreen } from "./devices.ts";
import { FrameSource } from "./framesource.ts";
import type { Quality } from "./ladder.ts";
import { layoutOf } from "./layout.ts";
import type { Place, PublishOrder, PublishReport } from "./messages.ts";
import { Mixer } from "./mixer.ts";
import { browserName, whyUnsupported } from "./support.ts";
import { BEFORE, isPublishing, type GoLiveView } from "./view.ts";

/** Returns where to publish a room, but not at these nodes (ids with commas between them). Raises Problem. */
export type Locate = (room: string, avoid: string) => Promise<Place>;

/** Captures camera, microphone and screen, and publishes them: the page's side. Encoding and sending is the worker's. */
export class GoLive {
  readonly view = new Store<GoLiveView>(BEFORE);
  readonly #locatePlace: Locate;
  #mixer: Mixer | null = null;
  #worker: Worker | null = null;
  #cameraSource: FrameSource | null = null;
  #screenSource: FrameSource | null = null;
  #camera: MediaStreamTrack | null = null;
  #microphone: MediaStreamTrack | null = null;
  #wakeLock: WakeLockSentinel | null = null;
  #page = new AbortController();

  constructor(locate: Locate) {
    this.#locatePlace = locate;
    void whyUnsupported().then((unsupported) => {
      if (unsupported) this.view.patch({ phase: "unsupported", unsupported });
    });
  }

  /** The microphone's loudness now, 0 to 1. */
  level(): number {
    return this.#mixer?.level() ?? 0;
  }

  // -- devices

  /** Ask for camera and microphone, and show them. One of them is enough to go on. */
  async check(): Promise<void> {
    const { phase, cameraId, microphoneId } = this.view.value;
    if (phase === "unsupported" || phase === "checking" || isPublishing(phase)) return;
    this.view.patch({ phase: "checking", trouble: null, remark: null });
    this.#mixer ??= new Mixer();
    await this.#openCamera(cameraId);
    await this.#openMicrophone(microphoneId);
    await this.#list();
    if (this.view.value.phase !== "checking") return;
    this.#watchDevices();
    this.view.patch({ phase: "ready" });
  }

  /** Leave the check: camera and microphone are released. */
  leave(): void {
    if (isPublishing(this.view.value.phase)) return;
    this.#release();
    const { cameraId, microphoneId, quality } = this.view.value;
    this.view.set({ ...BEFORE, cameraId, microphoneId, quality });
  }

  async setCamera(id: string): Promise<void> {
    this.view.patch({ cameraId: id });
    await this.#openCamera(id);
  }

  async setMicrophone(id: string): Promise<void> {
    this.view.patch({ microphoneId: id });
    await this.#openMicrophone(id);
  }

  /** Before going live only. */
  async setQuality(quality: Quality): Promise<void> {
    this.view.patch({ quality });
    if (this.#camera) await this.#openCamera(this.view.value.cameraId);
  }

  /** Camera off releases it, so that its light goes out. */
  async toggleCamera(): Promise<void> {
    if (this.#camera) this.#useCamera(null);
    else await this.#openCamera(this.view.value.cameraId);
  }

  toggleMuted(): void {
    const muted = !this.view.value.muted;
    this.#mixer?.setMuted(muted);
    this.view.patch({ muted });
  }

  /** Share a screen, or stop sharing it. */
  async toggleScreen(): Promise<void> {
    if (this.view.value.screen) return this.#useScreen(null);
    try {
      this.#useScreen(await openScreen());
    } catch (error) {
      // A person who closes the browser's choice changed their mind; that is no trouble.
      if (deviceTrouble(error) !== "denied") this.view.patch({ remark: { code: "screen_failed", detail: String(error) } });
    }
  }

  toggleInset(): void {
    this.view.patch({ inset: !this.view.value.inset });
    this.#arrange();
  }

  dismissRemark(): void {
    this.view.patch({ remark: null });
  }

  async #openCamera(id: string): Promise<void> {
    // Some cameras cannot be opened twice: the old one is released first.
    this.#camera?.stop();
    try {
      this.#useCamera(await openCamera(id, this.view.value.quality));
      this.view.patch({ cameraTrouble: null });
    } catch (error) {
      this.#useCamera(null);
      this.view.patch({ cameraTrouble: deviceTrouble(error) });
    }
  }

  async #openMicrophone(id: string): Promise<void> {
    try {
      this.#useMicrophone(await openMicrophone(id));
      this.view.patch({ microphoneTrouble: null });
    } catch (error) {
      this.#useMicrophone(null);
      this.view.patch({ microphoneTrouble: deviceTrouble(error) });
    }
  }

  #useCamera(track: MediaStreamTrack | null): void {
    this.#camera?.stop();
    this.#camera = track;
    if (track) {
      this.view.patch({ cameraId: track.getSettings().deviceId ?? this.view.value.cameraId });
      track.addEventListener("ended", () => {
        if (this.#camera === track) void this.#lost("camera");
      });
    }
    this.view.patch({ camera: track && new MediaStream([track]) });
    this.#cameraSource?.follow(track);
    this.#arrange();
  }

  #useMicrophone(track: MediaStreamTrack | null): void {
    this.#microphone?.stop();
    this.#microphone = track;
    track?.addEventListener("ended", () => {
      if (this.#microphone === track) void this.#lost("microphone");
    });
    this.#mixer?.setMicrophone(track);
    const microphoneId = track?.getSettings().deviceId ?? this.view.value.microphoneId;
    this.view.patch({ hasMicrophone: track !== null, microphoneId });
  }

  #useScreen(stream: MediaStream | null): void {
    for (const track of this.view.value.screen?.getTracks() ?? []) track.stop();
    const track = stream?.getVideoTracks()[0] ?? null;
    // The browser's own "stop sharing" ends the track.
    track?.addEventListener("ended", () => {
      if (this.view.value.screen === stream) this.#useScreen(null);
    });
    this.view.patch({ screen: stream });
    this.#mixer?.setScreen(stream?.getAudioTracks()[0] ?? null);
    this.#screenSource?.follow(track);
    this.#arrange();
  }

  /** A device was unplugged, or taken away by the system: go on with another one. */
  async #lost(what: "camera" | "microphone"): Promise<void> {
    await this.#list();
    const left = this.view.value[what === "camera" ? "cameras" : "microphones"];
    if (what === "camera") {
      if (left.length > 0) await this.#openCamera("");
      else this.#useCamera(null);
    } else if (left.length > 0) await this.#openMicrophone("");
    else this.#useMicrophone(null);
    const found = what === "camera" ? this.#camera : this.#microphone;
    this.view.patch({ remark: { code: found ? `${what}_changed` : `${what}_lost`, detail: found?.label ?? "" } });
  }

  async #list(): Promise<void> {
    this.view.patch(await listDevices().catch(() => ({ cameras: [], microphones: [] })));
  }

  #watchDevices(): void {
    this.#page.abort();
    this.#page = new AbortController();
    const { signal } = this.#page;
    navigator.mediaDevices.addEventListener("devicechange", () => void this.#list(), { signal });
    const wake = () => {
      this.#mixer?.resume();
      if (document.visibilityState === "visible") void this.#keepAwake();
    };
    document.addEventListener("visibilitychange", wake, { signal });
    window.addEventListener("online", () => this.#order({ kind: "hurry" }), { signal });
    window.addEventListener(
      "beforeunload",
      (event) => {
        if (isPublishing(this.view.value.phase)) event.preventDefault();
      },
      { signal },
    );
  }

  // -- publishing

  async start(room: string): Promise<void> {
    const { phase, quality } = this.view.value;
    if (phase !== "ready" && phase !== "refused") return;
    this.view.patch({ phase: "connecting", room, trouble: null, remark: null, figures: null });
    const worker = new Worker(new URL("./publishing.worker.ts", import.meta.url), { type: "module" });
    this.#worker = worker;
    worker.addEventListener("message", ({ data }: MessageEvent<PublishReport>) => {
      if (this.#worker === worker) this.#onReport(data);
    });
    worker.addEventListener("error", () => {
      if (this.#worker === worker) this.#onReport({ kind: "ended", trouble: { code: "worker", detail: "" } });
    });
    this.#order({ kind: "start", encoder: browserName(navigator.userAgent), quality });
    const send = (order: PublishOrder, transfer: Transferable[]) => this.#order(order, transfer);
    this.#cameraSource = new FrameSource("camera", send);
    this.#screenSource = new FrameSource("screen", send);
    this.#cameraSource.follow(this.#camera);
    const screen = this.view.value.screen?.getVideoTracks()[0];
    if (screen) this.#screenSource.follow(screen);
    this.#arrange();
    const { port1, port2 } = new MessageChannel();
    this.#order({ kind: "sound", port: port1 }, [port1]);
    void this.#keepAwake();
    await this.#mixer?.send(port2).catch(() => this.view.patch({ microphoneTrouble: "failed" }));
  }

  /** End the class. */
  stop(): void {
    this.#order({ kind: "stop" });
  }

  #onReport(report: PublishReport): void {
    switch (report.kind) {
      case "state":
        return this.view.patch({ phase: report.state, trouble: report.trouble });
      case "locate":
        return void this.#locate(report.avoid);
      case "grab":
        return (report.slot === "camera" ? this.#cameraSource : this.#screenSource)?.grab();
      case "figures":
        return this.view.patch({ figures: report.figures });
      case "remark":
        return this.view.patch({ remark: report.trouble });
      case "ended":
        return this.#ended(report.trouble);
    }
  }

  #ended(trouble: GoLiveView["trouble"]): void {
    this.#worker?.terminate();
    this.#worker = null;
    this.#cameraSource = this.#screenSource = null;
    void this.#mixer?.send(null);
    void this.#wakeLock?.release().catch(() => undefined);
    this.#wakeLock = null;
    if (this.view.value.screen) this.#useScreen(null);
    const isOver = trouble === null || trouble.code === "class_over";
    this.view.patch({ phase: isOver ? "ready" : "refused", trouble, figures: null, remark: null });
    // The class is over: the camera's light goes out.
    if (isOver) this.leave();
  }

  async #locate(avoid: string): Promise<void> {
    try {
      this.#order({ kind: "place", place: await this.#locatePlace(this.view.value.room, avoid) });
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem(0, "network", String(error));
      const { code, message: detail, hopeless, retryAfterS } = problem;
      this.#order({ kind: "noPlace", trouble: { code, detail }, hopeless, retryAfterS });
    }
  }

  #arrange(): void {
    const { inset, screen } = this.view.value;
    this.#order({ kind: "layout", layout: layoutOf({ camera: this.#camera !== null, screen: screen !== null, inset }) });
  }

  #order(order: PublishOrder, transfer: Transferable[] = []): void {
    this.#worker?.postMessage(order, transfer);
  }

  async #keepAwake(): Promise<void> {
    if (!isPublishing(this.view.value.phase) || (this.#wakeLock && !this.#wakeLock.released)) return;
    this.#wakeLock = (await navigator.wakeLock?.request("screen").catch(() => null)) ?? null;
  }

  #release(): void {
    this.#page.abort();
    this.#useCamera(null);
    this.#useMicrophone(null);
    if (this.view.value.screen) this.#useScreen(null);
    this.#mixer?.close();
    this.#mixer = null;
  }
}
