import { liveUrl } from "../address.ts";
import type { Failure, FailureKind } from "../engine.ts";
import { StampReader } from "../fmp4.ts";
import { FragmentSplitter, type Piece, type Sample, type Track } from "./fragments.ts";
import type { Order, Packet, Played, Reason, Report } from "./messages.ts";
import { SoundClock } from "./soundclock.ts";

const RETRY_MS = 250;
const MOST_FAILURES = 2;
/**
 * The picture is handed over so long before its sound is heard. It waits for the next refresh of the screen (half of one on
 * average), and is visible one refresh later.
 */
const LEAD_S = 0.024;
/** Sound that lies further behind the newest picture does not hold it up any more. */
const MOST_BEHIND_S = 0.6;
const MOST_FRAMES = 40;
/** So many coded frames wait for the decoder: it cannot keep up. */
const MOST_CODED = 120;
/** So many underruns of the sound within this: it does not work here. */
const MOST_UNDERRUNS = 8;
const UNDERRUNS_MS = 20_000;
/** So many frames of sound that cannot be decoded, within this, are passed over. */
const MOST_AUDIO_ERRORS = 5;
const AUDIO_ERRORS_MS = 10_000;
/** Least pause before the next look for a frame that is due. */
const PAUSE_MS = 4;

const post = (report: Report): void => (postMessage as (message: Report) => void)(report);

/** `live.mp4`, read, split and decoded away from the page: pictures into a track, sound to the worklet. */
class Decoding {
  readonly #picture: WritableStreamDefaultWriter<VideoFrame>;
  readonly #free: boolean;
  readonly #wantsSound: boolean;
  readonly #clock = new SoundClock();
  url: string;
  #video: VideoDecoder | null = null;
  #audio: AudioDecoder | null = null;
  #frames: VideoFrame[] = [];
  #waitsForKey = true;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sound: MessagePort | null = null;
  /** What the page's sound was opened with. */
  #opened = { sampleRate: 0, channels: 0 };
  #audible = false;
  #paused = false;
  #endS = 0;
  #behindMs: number | null = null;
  #underruns: { atMs: number; count: number }[] = [];
  #audioErrorsMs: number[] = [];
  #failures = 0;
  #over = false;

  constructor({ url, picture, free, sound }: Extract<Order, { kind: "start" }>) {
    this.url = url;
    this.#picture = picture.getWriter();
    this.#free = free;
    this.#wantsSound = sound;
    void this.#keepReading();
  }

  connect(port: MessagePort): void {
    this.#sound = port;
    port.onmessage = ({ data }: MessageEvent<Played>) => this.#onPlayed(data);
  }

  /** Whether the page may make sounds. */
  hear(on: boolean, outputLatencyS: number): void {
    this.#audible = on;
    this.#clock.outputLatencyS = outputLatencyS;
    if (!on) this.#clock.report(0, null);
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    this.#sound?.postMessage(null);
  }

  // ---- the response ----------------------------------------------------------------------------------------------

  async #keepReading(): Promise<void> {
    while (!this.#over) {
      const failure = await this.#read().catch((): Failure => ({ kind: "network", status: 0 }));
      if (this.#over) return;
      this.#failures += 1;
      if (failure && (failure.kind === "refused" || this.#failures >= MOST_FAILURES)) return this.#fail(failure);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS * (0.5 + Math.random())));
    }
  }

  /** Null: the response ended by itself after media came. */
  async #read(): Promise<Failure | null> {
    const response = await fetch(liveUrl(this.url), { cache: "no-store" });
    if (!response.ok || !response.body) return { kind: kindOf(response.status), status: response.status };
    const splitter = new FragmentSplitter(response.headers.get("Content-Type") ?? "");
    const [stamps, reader] = [new StampReader(), response.body.getReader()];
    let received = false;
    for (;;) {
      const { done, value } = await reader.read();
      if (this.#over) return null;
      if (done) return received ? null : { kind: "network", status: response.status };
      received = true;
      for (const piece of splitter.push(value)) await this.#take(piece);
      const found = stamps.push(value);
      if (found.length > 0) post({ kind: "stamps", stamps: found, endS: this.#endS, soundBehindMs: this.#behindMs });
    }
  }

  async #take(piece: Piece): Promise<void> {
    if (piece.kind === "init") return this.#configure(piece.tracks);
    for (const sample of piece.samples) this.#decode(sample);
  }

  // ---- decoding --------------------------------------------------------------------------------------------------

  async #configure(tracks: Track[]): Promise<void> {
    this.#close();
    for (const track of tracks) await (track.kind === "video" ? this.#configureVideo(track) : this.#configureAudio(track));
    // Sound alone has no frames by which the page could follow it.
    if (!this.#video) this.#leave("codec");
  }

  async #configureVideo({ codec, description }: Track): Promise<void> {
    const config: VideoDecoderConfig = { codec, optimizeForLatency: true, ...(description && { description }) };
    const { supported } = await VideoDecoder.isConfigSupported(config);
    if (!supported) return this.#leave("codec");
    this.#video = new VideoDecoder({ output: (frame) => this.#onFrame(frame), error: () => this.#leave("decoder") });
    this.#video.configure(config);
    this.#waitsForKey = true;
  }

  async #configureAudio({ codec, description, sampleRate, channels }: Track): Promise<void> {
    if (!this.#wantsSound) return;
    const config: AudioDecoderConfig = { codec, sampleRate, numberOfChannels: channels, ...(description && { description }) };
    const { supported } = await AudioDecoder.isConfigSupported(config);
    if (!supported) return this.#leave("codec");
    this.#openAudio(config);
  }

  /** A frame that cannot be decoded closes the decoder; the next frames mostly can be. */
  #openAudio(config: AudioDecoderConfig): void {
    const error = () => {
      const now = performance.now();
      this.#audioErrorsMs = [...this.#audioErrorsMs.filter((atMs) => now - atMs < AUDIO_ERRORS_MS), now];
      if (this.#audioErrorsMs.length > MOST_AUDIO_ERRORS) this.#leave("decoder");
      else this.#openAudio(config);
    };
    this.#audio = new AudioDecoder({ output: (data) => this.#onSound(data), error });
    this.#audio.configure(config);
  }

  #decode({ kind, presentedS, durationS, key, data }: Sample): void {
    const times = { timestamp: Math.round(presentedS * 1e6), duration: Math.round(durationS * 1e6) };
    if (kind === "audio") {
      if (this.#audio?.state === "configured") this.#audio.decode(new EncodedAudioChunk({ type: "key", ...times, data }));
      if (!this.#video) this.#endS = presentedS;
      return;
    }
    this.#endS = Math.max(this.#endS, presentedS);
    if (this.#video?.state !== "configured" || (this.#waitsForKey && !key)) return;
    this.#waitsForKey = false;
    if (this.#video.decodeQueueSize > MOST_CODED) return this.#leave("slow");
    this.#video.decode(new EncodedVideoChunk({ type: key ? "key" : "delta", ...times, data }));
  }

  #close(): void {
    for (const decoder of [this.#video, this.#audio]) if (decoder && decoder.state !== "closed") decoder.close();
    this.#video = this.#audio = null;
    for (const frame of this.#frames.splice(0)) frame.close();
    this.#endS = 0;
  }

  // ---- sound -----------------------------------------------------------------------------------------------------

  #onSound(data: AudioData): void {
    const { numberOfFrames, numberOfChannels, sampleRate, timestamp } = data;
    // What comes out tells the rate and the channels: HE-AAC announces half of both.
    if (sampleRate !== this.#opened.sampleRate || numberOfChannels !== this.#opened.channels) {
      this.#opened = { sampleRate, channels: numberOfChannels };
      post({ kind: "sound", ...this.#opened });
    }
    if (this.#sound && this.#audible && !this.#paused) {
      const planes = Array.from({ length: Math.min(2, numberOfChannels) }, (_, planeIndex) => {
        const plane = new Float32Array(numberOfFrames);
        data.copyTo(plane, { planeIndex, format: "f32-planar" });
        return plane;
      });
      const packet: Packet = { planes, mediaS: timestamp / 1e6 };
      this.#sound.postMessage(packet, planes.map(({ buffer }) => buffer));
    }
    data.close();
  }

  #onPlayed({ mediaS, underruns }: Played): void {
    const now = performance.now();
    this.#clock.report(now, mediaS);
    const known = this.#underruns.at(-1)?.count ?? 0;
    if (underruns > known) this.#underruns.push({ atMs: now, count: underruns });
    const recent = this.#underruns.filter(({ atMs }) => now - atMs < UNDERRUNS_MS);
    if (recent.length > MOST_UNDERRUNS) this.#leave("underruns");
    this.#underruns = this.#underruns.slice(-MOST_UNDERRUNS - 1);
  }

  // ---- the picture -----------------------------------------------------------------------------------------------

  #onFrame(frame: VideoFrame): void {
    this.#failures = 0;
    this.#frames.push(frame);
    while (this.#frames.length > MOST_FRAMES) this.#frames.shift()?.close();
    this.#show();
  }

  /** Hand over the newest frame that is due; with sound, that is the one whose sound is heard. */
  #show(): void {
    clearTimeout(this.#timer);
    const now = performance.now();
    const heardS = this.#clock.heardS(now);
    const newestS = (this.#frames.at(-1)?.timestamp ?? 0) / 1e6;
    const bound = !this.#free && heardS !== null && newestS - heardS < MOST_BEHIND_S;
    const untilS = bound ? heardS + LEAD_S : Infinity;
    let shown: VideoFrame | null = null;
    while (this.#frames[0] && this.#frames[0].timestamp / 1e6 <= untilS) {
      shown?.close();
      shown = this.#frames.shift()!;
    }
    if (shown) this.#write(shown, heardS);
    const next = this.#frames[0];
    if (next) this.#timer = setTimeout(() => this.#show(), Math.max(PAUSE_MS, (next.timestamp / 1e6 - untilS) * 1000));
  }

  #write(frame: VideoFrame, heardS: number | null): void {
    this.#behindMs = heardS === null ? null : (frame.timestamp / 1e6 - heardS) * 1000;
    if (this.#paused) return frame.close();
    this.#picture.write(frame).catch(() => frame.close());
  }

  #leave(reason: Reason): void {
    if (!this.#over) post({ kind: "left", reason });
    this.#over = true;
  }

  #fail(failure: Failure): void {
    if (!this.#over) post({ kind: "failed", failure });
    this.#over = true;
  }
}

function kindOf(status: number): FailureKind {
  if (status === 401 || status === 403) return "refused";
  return status === 404 || status === 410 ? "missing" : "network";
}

let decoding: Decoding | null = null;

addEventListener("message", ({ data }: MessageEvent<Order>) => {
  if (data.kind === "start") decoding = new Decoding(data);
  else if (!decoding) return;
  else if (data.kind === "url") decoding.url = data.url;
  else if (data.kind === "sound") decoding.connect(data.port);
  else if (data.kind === "audible") decoding.hear(data.on, data.outputLatencyS);
  else decoding.pause(data.paused);
});
