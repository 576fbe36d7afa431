"""The pages of Chromium that watch the outputs of a class. The pages measure; nothing is asked while they do."""

from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, Page

from tests.encoders.cases import Case
from tests.support.node import Classroom

OUTPUTS = ("live.mp4", "HLS", "recording", "download")
#: A recording and its download are played so much faster. Their standstills are given in seconds of media.
FILE_RATE = 4.0
#: A file that is not played to its end by then, or stands still for so long, is not played further, in seconds.
_LONGEST_FILE_S, _LONGEST_STILL_S = 30.0, 6.0
_LOOK_EVERY_S = 0.1
#: The stage of a phone: painting a large picture takes most of a browser's processor time.
_SMALL = {"width": 400, "height": 640}

#: Resolves to what was seen, at the latest after `forS` seconds. `toEnd`: this is a file, which is played at `rate`.
_WATCH = """async ({ forS, everyS, stillS, toEnd, rate }) => {
  const began = performance.now(), looks = [];
  let movedS = 0;
  for (;;) {
    const at = (performance.now() - began) / 1000;
    const v = document.querySelector("video");
    let over = at >= forS;
    if (v) {
      if (toEnd && v.playbackRate !== rate) v.playbackRate = v.defaultPlaybackRate = rate;
      const bar = document.querySelector("input.seek");  // a recording may be played in several sections
      const [t, duration] = bar ? [Number(bar.value), Number(bar.max)] : [v.currentTime, v.duration];
      const ended = v.ended && !(duration - t > 0.5);
      const last = looks.at(-1);
      looks.push({ at, t, frames: v.getVideoPlaybackQuality().totalVideoFrames, bytes: v.webkitAudioDecodedByteCount,
        error: v.error ? v.error.message : "", ended, duration, ready: v.readyState,
        state: document.querySelector("[data-state]")?.dataset.state, path: window.airnode?.path });
      if (!last || t !== last.t || t === 0) movedS = at;
      const atEnd = ended || (!bar && duration > 0 && t > duration - 0.2);
      over ||= v.error !== null || (toEnd && (atEnd || at - movedS > stillS));
    }
    if (over) return looks;
    await new Promise((done) => setTimeout(done, everyS * 1000));
  }
}"""


@dataclass
class Seen:
    """The result of one output.

    Attributes:
        first_s: time from the join, or from the begin of the stream, until the picture (without video: the playback
            time) first moved; None: never.
        still_s: the longest time for which it stood still after that; in files: of media.
        trouble: the problem; empty: it plays.
        slow: it plays, but the picture came late or stood still for longer than the case allows.
    """

    output: str
    first_s: float | None = None
    still_s: float = 0.0
    frames: int = 0
    trouble: str = ""
    slow: str = ""
    looks: list[dict[str, Any]] = field(default_factory=list)


class Screens:
    """Two pages, which watch one case after the other: two outputs at a time.

    A page keeps its process, and what it has loaded of our pages. The two have contexts of their own: two students.
    """

    def __init__(self, browser: Browser, api_url: str) -> None:
        self._browser = browser
        #: A small answer of the same site: a page that goes there keeps its process.
        self._rest_url = f"{api_url}/health"
        self._stack = AsyncExitStack()
        self._pages: list[Page] = []

    async def __aenter__(self) -> "Screens":
        for _ in range(2):
            context = await self._browser.new_context(viewport=_SMALL, locale="en-US")  # type: ignore[arg-type]
            self._stack.push_async_callback(context.close)
            self._pages.append(await context.new_page())
        return self

    async def __aexit__(self, *args: object) -> None:
        await self._stack.aclose()

    async def open_class(self, room: Classroom, output: str) -> Page:
        """Return the class page of a student who has not joined yet."""
        page = self._pages[output == "HLS"]
        await page.goto(f"{room['class_url']}?path={'auto' if output == 'live.mp4' else 'hls'}")
        await page.get_by_label("Your name").fill("Mina")
        return page

    async def join(self, page: Page) -> None:
        """Join the class; the page shows the stage then, whether there is a picture or not."""
        await page.get_by_role("button", name="Join").click()
        await page.wait_for_selector("[data-state]", state="attached")

    async def watch_live(self, page: Page, case: Case, output: str, for_s: float, *, has_video: bool) -> Seen:
        """Return the result of a student who has joined, and watches for this long."""
        seen = _seen(output, await _looks(page, for_s), has_video=has_video)
        await page.goto(self._rest_url)
        if not seen.trouble:
            _judge_live(seen, case, "auto" if output == "live.mp4" else "hls")
        return seen

    async def watch_recording(self, room: Classroom, case: Case, recording_id: str, *, has_video: bool) -> Seen:
        """Return the result of playing the recording to its end on the class page."""
        page = self._pages[0]
        await page.goto(f"{room['class_url']}?recording={recording_id}#join")
        return await self._watch_file(page, case, "recording", has_video=has_video)

    async def watch_download(self, case: Case, url: str, *, has_video: bool) -> Seen:
        """Return the result of playing the downloadable file to its end in a plain page."""
        page = self._pages[1]
        # Chromium loads nothing from a local address into a page that came from none.
        await page.goto(self._rest_url)
        await page.set_content(f'<video muted autoplay width="360" src="{url}"></video>', wait_until="commit")
        return await self._watch_file(page, case, "download", has_video=has_video)

    async def _watch_file(self, page: Page, case: Case, output: str, *, has_video: bool) -> Seen:
        looks = await _looks(page, _LONGEST_FILE_S, to_end=True)
        seen = _seen(output, looks, has_video=has_video)
        await page.goto(self._rest_url)
        seen.still_s *= FILE_RATE
        if not seen.trouble:
            if seen.first_s is None:
                seen.trouble = "never moved"
            elif not _is_at_end(looks[-1]):
                seen.trouble = f"stayed at {looks[-1]['t']:.1f} of {looks[-1]['duration'] or 0:.1f} s"
            elif seen.still_s > case.file_still_s:
                seen.slow = f"stood still for {seen.still_s:.1f} s"
        return seen


def _is_at_end(look: dict[str, Any]) -> bool:
    return bool(look["ended"]) or (bool(look["duration"]) and look["t"] > look["duration"] - 0.2)


def _looks(page: Page, for_s: float, *, to_end: bool = False) -> Awaitable[list[dict[str, Any]]]:
    given = {"forS": for_s, "everyS": _LOOK_EVERY_S, "stillS": _LONGEST_STILL_S, "toEnd": to_end, "rate": FILE_RATE}
    return page.evaluate(_WATCH, given)


def _seen(output: str, looks: list[dict[str, Any]], *, has_video: bool) -> Seen:
    """Return when the picture (without video: the playback time) moved."""
    key = "frames" if has_video else "t"
    seen, moved_s = Seen(output, looks=looks), 0.0
    for last, look in zip([None, *looks], looks, strict=False):
        moves = last is not None and look[key] > last[key]
        if moves and seen.first_s is None:
            seen.first_s = look["at"]
        elif seen.first_s is not None:
            seen.still_s = max(seen.still_s, look["at"] - moved_s)
        moved_s = look["at"] if moves or seen.first_s is None else moved_s
        seen.frames, seen.trouble = look["frames"], look["error"] or seen.trouble
    return seen


def _judge_live(seen: Seen, case: Case, path: str) -> None:
    if seen.first_s is None:
        seen.trouble = f"never moved (page says {seen.looks[-1]['state'] if seen.looks else 'nothing'})"
        return
    took = {look["path"] for look in seen.looks if look["path"]}
    if path == "auto" and took - {"live"}:
        seen.trouble = f"went from live.mp4 to {' and '.join(sorted(took - {'live'}))}"
    if seen.first_s > case.first_s:
        seen.slow = f"the first picture came after {seen.first_s:.1f} s"
    elif seen.still_s > case.still_s:
        seen.slow = f"stood still for {seen.still_s:.1f} s"
