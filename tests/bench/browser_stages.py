"""Where the time goes between one browser and another: marks in the publishing worker and in the watching page.

A frame is known by the time that its picture shows (the ``number`` of :mod:`tests.bench.browser`), which the worker
reads from the raw frame and the page from the screen.
"""

import json
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page

from tests.bench.meters import quantile
from tests.bench.report import Figure

#: Comes before the code of the worker: notes when a frame is given to the encoder, and when its bytes come out.
_MARKS = """(([bits, cell]) => {
  const unixMs = () => performance.timeOrigin + performance.now();
  const open = new Map();
  self.bench = { frames: [] };
  const read = async (frame, mark) => {
    const isPlanar = /^(I4|NV)/.test(frame.format ?? "");
    const rect = { x: 0, y: cell / 2, width: bits * cell, height: 2 };
    const data = new Uint8Array(frame.allocationSize({ rect }));
    const [layout] = await frame.copyTo(data, { rect });
    frame.close();
    let number = 0;
    for (let bit = 0; bit < bits; bit += 1) {
      const at = layout.offset + (bit + 0.5) * cell * (isPlanar ? 1 : 4);
      if (data[at] > 128) number += 2 ** bit;
    }
    mark.number = number;
  };
  const Encoder = self.VideoEncoder;
  self.VideoEncoder = class extends Encoder {
    constructor({ output, error }) {
      super({
        error,
        output: (chunk, metadata) => {
          const mark = open.get(chunk.timestamp);
          open.delete(chunk.timestamp);
          if (mark) self.bench.frames.push(Object.assign(mark, { out: unixMs(), bytes: chunk.byteLength }));
          output(chunk, metadata);
        },
      });
    }
    encode(frame, options) {
      const mark = { in: unixMs(), number: -1 };
      open.set(frame.timestamp, mark);
      void read(frame.clone(), mark).catch((error) => (self.bench.error = String(error)));
      super.encode(frame, options);
    }
  };
})(%s);
"""
#: Starts the publishing worker with ``marks`` in front of its code.
_WRAP = """(marks) => {
  const Plain = window.Worker;
  const file = (code) => URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  window.Worker = class extends Plain {
    constructor(url, options) {
      const isPublishing = String(url).includes("publishing.worker");
      super(isPublishing ? file(`import "${file(marks)}"; import "${new URL(url, location.href)}";`) : url, options);
    }
  };
}"""


@dataclass(frozen=True)
class Encoded:
    """One frame in the worker; times in unix ms. ``number``: -1 if it could not be read."""

    number: int
    in_ms: float
    out_ms: float
    size_bytes: int


async def mark_worker(page: Page, bits: int, cell: int) -> None:
    """Note the times of frames in the worker that ``page`` will start; its context must bypass the CSP."""
    await page.add_init_script(f"({_WRAP})({json.dumps(_MARKS % json.dumps([bits, cell]))})")


async def take_encoded(page: Page) -> list[Encoded]:
    """Return the frames that were encoded since the last call."""
    for worker in page.workers:
        found: dict[str, Any] | None = await worker.evaluate(
            "(() => { const found = self.bench; if (found) self.bench = { frames: [] }; return found; })()"
        )
        if found is not None:
            assert "error" not in found, found["error"]
            return [Encoded(each["number"], each["in"], each["out"], each["bytes"]) for each in found["frames"]]
    return []


@dataclass(frozen=True)
class Stages:
    """The stages of the frames that were both encoded and shown.

    Attributes:
        shown: (unix ms, number) of frames on the screen.
        span: numbers are milliseconds modulo this.
    """

    encoded: list[Encoded]
    shown: list[tuple[float, int]]
    span: int

    def figures(self, key: str, title: str, target_ms: float | None) -> list[Figure]:
        by_number = {each.number: each for each in self.encoded if each.number >= 0}
        pairs = [(by_number[number], at_ms) for at_ms, number in self.shown if number in by_number]
        whole = [at_ms - each.in_ms for each, at_ms in pairs]
        captured = [(each.in_ms % self.span - each.number + self.span) % self.span for each, _ in pairs]
        encoding = [each.out_ms - each.in_ms for each in self.encoded]
        onward = [at_ms - each.out_ms for each, at_ms in pairs]
        return [
            Figure(f"{key}_p50", f"{title}: encoder to screen p50", quantile(whole, 0.5), "ms", target_ms),
            Figure(f"{key}_p95", f"{title}: encoder to screen p95", quantile(whole, 0.95), "ms"),
            Figure(f"{key}_capture", f"{title}: drawn until in the encoder", quantile(captured, 0.5), "ms"),
            Figure(f"{key}_encoding", f"{title}: in the encoder", quantile(encoding, 0.5), "ms"),
            Figure(f"{key}_encoding_p95", f"{title}: in the encoder p95", quantile(encoding, 0.95), "ms"),
            Figure(f"{key}_onward", f"{title}: from there to the screen", quantile(onward, 0.5), "ms"),
            Figure(f"{key}_encoded", f"{title}: frames encoded", len(self.encoded), ""),
        ]
