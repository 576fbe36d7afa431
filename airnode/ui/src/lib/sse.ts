export interface ServerEvent {
  event: string;
  data: string;
}

/** Events longer than this are dropped: nothing we expect comes near it. */
const MAX_EVENT_CHARS = 256 * 1024;

/** Parser of `text/event-stream` (WHATWG HTML section 9.2.6) fed with decoded text in any pieces. */
export class EventStreamParser {
  #rest = "";
  #event = "";
  #data: string[] = [];
  #size = 0;

  /** Returns the events that `text` completes. */
  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > MAX_EVENT_CHARS) this.#rest = "";
    for (const line of lines) {
      const event = this.#line(line);
      if (event) events.push(event);
    }
    return events;
  }

  #line(line: string): ServerEvent | null {
    if (line === "") return this.#dispatch();
    if (line.startsWith(":")) return null;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event = value;
    if (field === "data") {
      this.#size += value.length;
      if (this.#size <= MAX_EVENT_CHARS) this.#data.push(value);
    }
    return null;
  }

  #dispatch(): ServerEvent | null {
    const event = { event: this.#event || "message", data: this.#data.join("\n") };
    const complete = this.#data.length > 0 && this.#size <= MAX_EVENT_CHARS;
    this.#event = "";
    this.#data = [];
    this.#size = 0;
    return complete ? event : null;
  }
}
