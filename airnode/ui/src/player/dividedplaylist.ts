import type { HlsConfig, Loader, LoaderCallbacks, LoaderConfiguration, PlaylistLoaderContext } from "hls.js";
import type { HlsClass } from "./hls.ts";
import { initsOf, placeOf, sectionsOf, tracksOf, type Section } from "./sections.ts";

type PlaylistLoader = Loader<PlaylistLoaderContext>;

/** A node answered with an error. */
class AnswerError extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`HTTP ${status}`);
    this.status = status;
  }
}

/** The media playlist of a recording, divided where its tracks change. */
export class DividedPlaylist {
  readonly #signal: AbortSignal;
  readonly #tracks = new Map<string, string>();
  #sections: Section[] = [];

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  get count(): number {
    return this.#sections.length;
  }

  /** The length of the recording as far as it is known, in seconds. */
  get durationS(): number {
    return this.startS(this.count);
  }

  /** The recording may still get longer. */
  get grows(): boolean {
    return this.#sections.at(-1)?.complete !== true;
  }

  /** Where a section begins in the recording, in seconds; for one behind the last, where the recording ends. */
  startS(index: number): number {
    const last = this.#sections.at(-1);
    return this.#sections[index]?.startS ?? (last ? last.startS + last.durationS : 0);
  }

  placeOf(positionS: number): { index: number; insideS: number } {
    return placeOf(this.#sections, positionS);
  }

  /** Read it anew from `url`. Throws when it cannot be read. */
  async load(url: string): Promise<void> {
    const response = await fetch(url, { signal: this.#signal });
    if (!response.ok) throw new AnswerError(response.status);
    await this.take(await response.text(), url);
  }

  /** Where there is more than one initialization section, they say which tracks there are. Throws where one cannot be read. */
  async take(text: string, url: string): Promise<void> {
    const inits = initsOf(text);
    if (inits.length > 1) await Promise.all(inits.map((uri) => this.#readTracks(uri, url)));
    const sections = sectionsOf(text, (uri) => this.#tracks.get(uri) ?? "");
    if (sections.length >= this.#sections.length) this.#sections = sections;
  }

  async #readTracks(uri: string, url: string): Promise<void> {
    if (this.#tracks.has(uri)) return;
    const response = await fetch(new URL(uri, url), { signal: this.#signal });
    if (!response.ok) throw new AnswerError(response.status);
    this.#tracks.set(uri, tracksOf(new Uint8Array(await response.arrayBuffer())));
  }

  /** What makes hls.js see one section only, also when it reads the playlist again. `url`: where the playlist is now. */
  loader(Hls: HlsClass, index: number, url: () => string): NonNullable<HlsConfig["pLoader"]> {
    const Whole = Hls.DefaultConfig.loader as unknown as new (config: HlsConfig) => PlaylistLoader;
    const cut = async (whole: string) => {
      await this.take(whole, url());
      return this.#sections[index]?.text ?? whole;
    };
    class SectionLoader extends Whole {
      #over = false;

      override load(context: PlaylistLoaderContext, config: LoaderConfiguration, callbacks: LoaderCallbacks<PlaylistLoaderContext>): void {
        const onSuccess: typeof callbacks.onSuccess = (response, stats, of, details) => {
          void cut(String(response.data)).then(
            (data) => this.#over || callbacks.onSuccess({ ...response, data }, stats, of, details),
            (error: unknown) => {
              // 0: no answer, which is tried again; an answer is dealt with as one to the playlist itself.
              const code = error instanceof AnswerError ? error.status : 0;
              if (!this.#over) callbacks.onError({ code, text: "an initialization section cannot be read" }, of, details, stats);
            },
          );
        };
        super.load(context, config, { ...callbacks, onSuccess });
      }

      override abort(): void {
        this.#over = true;
        super.abort();
      }

      override destroy(): void {
        this.#over = true;
        super.destroy();
      }
    }
    return SectionLoader;
  }
}
