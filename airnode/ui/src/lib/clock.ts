interface Sample {
  offsetMs: number;
  rttMs: number;
}

const KEPT_SAMPLES = 8;

/**
 * The server's clock, estimated from request round trips.
 *
 * Of the last few samples the one with the shortest round trip counts (as in NTP): its error is at
 * most half of that round trip.
 */
export class ServerClock {
  #samples: Sample[] = [];

  /** `sentMs` and `receivedMs` by the local clock, `serverMs` by the server's, all unix ms. */
  addRoundTrip(sentMs: number, receivedMs: number, serverMs: number): void {
    const rttMs = receivedMs - sentMs;
    if (!(rttMs >= 0) || !Number.isFinite(serverMs)) return;
    this.#keep({ offsetMs: serverMs - (sentMs + receivedMs) / 2, rttMs });
  }

  /** A pushed time: its delay is unknown, so it only counts until a round trip is measured. */
  addPush(receivedMs: number, serverMs: number): void {
    if (Number.isFinite(serverMs)) this.#keep({ offsetMs: serverMs - receivedMs, rttMs: Infinity });
  }

  get known(): boolean {
    return this.#samples.length > 0;
  }

  /** Server time minus local time; 0 while nothing is known. */
  get offsetMs(): number {
    let best: Sample | undefined;
    for (const sample of this.#samples) if (!best || sample.rttMs < best.rttMs) best = sample;
    return best?.offsetMs ?? 0;
  }

  toServerMs(localMs: number): number {
    return localMs + this.offsetMs;
  }

  toLocalMs(serverMs: number): number {
    return serverMs - this.offsetMs;
  }

  #keep(sample: Sample): void {
    // Pushes must not crowd out round trips: they replace each other in one place.
    if (sample.rttMs === Infinity) this.#samples = this.#samples.filter((kept) => kept.rttMs !== Infinity);
    this.#samples = [...this.#samples, sample].slice(-KEPT_SAMPLES);
  }
}
