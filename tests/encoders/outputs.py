"""The four outputs of a class, watched in Chromium: ``live.mp4``, HLS, a recording on the page, and its download."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, Page

from tests.encoders.cases import Case
from tests.encoders.stream import CHUNK_SIZE_BYTES, RECONNECT, VIDEO, Stream
from tests.support.browser import DESKTOP
from tests.support.node import AirnodeProcess, Api, Classroom
from tests.support.recordings import Recordings
from tests.support.rtmp import RtmpPublisher, chunk

OUTPUTS = ("live.mp4", "HLS", "recording", "download")
_LOOK_EVERY_S = 0.2
#: The studio gives advice if key frames are further apart (``studio/health.ts``).
FAR_KEY_FRAMES_S = 4.0
_LOOK = """() => {
  const v = document.querySelector("video");
  if (!v) return null;
  const bar = document.querySelector("input.seek");  // a recording may be played in several sections
  const [t, duration] = bar ? [Number(bar.value), Number(bar.max)] : [v.currentTime, v.duration];
  return { t, frames: v.getVideoPlaybackQuality().totalVideoFrames, bytes: v.webkitAudioDecodedByteCount,
    error: v.error ? v.error.message : "", ended: v.ended && !(duration - t > 0.5), duration, ready: v.readyState,
    state: document.querySelector("[data-state]")?.dataset.state, path: window.airnode?.path };
}"""


@dataclass
class Seen:
    """The result of one output.

    Attributes:
        first_s: time from the request until the picture (without video: the playback time) first moved; None: never.
        still_s: the longest time for which it stood still after that.
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


@dataclass
class Published:
    """The result of a publish: the status code, the sentences of the server's errors, and when the server ended it."""

    code: str = ""
    said: list[str] = field(default_factory=list)
    cut_s: float | None = None


async def publish(node: Classroom, stream: Stream, seconds: float, port: int, result: Published) -> None:
    """Send the stream in real time."""
    began_s = time.monotonic()
    begin = 0
    while begin < len(stream) and result.cut_s is None:
        end = next((at for at in range(begin, len(stream)) if stream[at].kind == RECONNECT), len(stream))
        await _publish_once(node, stream[begin:end], began_s, began_s + seconds, port, result)
        begin = end + 1


async def _publish_once(
    node: Classroom, stream: Stream, began_s: float, until_s: float, port: int, result: Published
) -> None:
    publisher = await RtmpPublisher.connect(port)
    try:
        stream_id, result.code = await publisher.publish(node["stream_key"])
        if result.code != "NetStream.Publish.Start":
            return
        publisher.send(chunk(1, CHUNK_SIZE_BYTES.to_bytes(4, "big"), csid=2))
        listener = asyncio.create_task(_listen(publisher, result))
        for each in stream:
            wait_s = each.at_ms / 1000 - (time.monotonic() - began_s)
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if listener.done():
                result.cut_s = time.monotonic() - began_s
                break
            if began_s + each.at_ms / 1000 > until_s:
                break
            publisher.send(each.wire(stream_id))
            await publisher.writer.drain()
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
    except (ConnectionError, asyncio.IncompleteReadError):
        result.cut_s = result.cut_s or 0.0
    finally:
        await publisher.aclose()


async def _listen(publisher: RtmpPublisher, result: Published) -> None:
    """Collect the server's errors until it closes the connection."""
    with contextlib.suppress(ConnectionError):
        while True:
            info = (await publisher.answer("onStatus"))[2]
            if isinstance(info, dict) and info.get("level") == "error":
                result.said.append(str(info.get("description")))


async def _look(page: Page) -> dict[str, Any] | None:
    found: dict[str, Any] | None = await page.evaluate(_LOOK)
    return found


async def watch(
    page: Page,
    seen: Seen,
    until_s: float,
    *,
    has_video: bool,
    until: Callable[[dict[str, Any]], bool] | None = None,
) -> Seen:
    """Poll the page's video. Return ``seen``, with the times at which the video moved.

    Args:
        until_s: monotonic time of the last poll.
        until: returns whether to stop earlier.
    """
    began_s = time.monotonic()
    moved_s, last = began_s, None
    while time.monotonic() < until_s:
        look = await _look(page)
        now_s = time.monotonic()
        if look is not None:
            seen.looks.append({"at": round(now_s - began_s, 1), **look})
            key = "frames" if has_video else "t"
            moves = last is not None and look[key] > last[key]
            if moves and seen.first_s is None:
                seen.first_s = now_s - began_s
            if seen.first_s is not None:
                seen.still_s = max(seen.still_s, now_s - moved_s)
            if moves or seen.first_s is None:
                moved_s = now_s
            seen.frames = look["frames"]
            last = look
            if look["error"]:
                seen.trouble = look["error"]
            if look["error"] or (until is not None and until(look)):
                break
        await asyncio.sleep(_LOOK_EVERY_S)
    return seen


async def open_class(browser: Browser, node: Classroom, output: str) -> Page:
    """Return the class page of a student who has not joined yet."""
    page = await browser.new_page(viewport=DESKTOP, locale="en-US")
    await page.goto(f"{node['class_url']}?path={'auto' if output == 'live.mp4' else 'hls'}")
    await page.get_by_label("Your name").fill("Mina")
    return page


async def watch_live(page: Page, case: Case, output: str, until_s: float, *, has_video: bool) -> Seen:
    """Return the result of a student who joins, and watches until shortly before the stream ends."""
    try:
        await page.get_by_role("button", name="Join").click()
        seen = await watch(page, Seen(output), until_s, has_video=has_video)
    finally:
        await page.close()
    if not seen.trouble:
        _judge(seen, case, "auto" if output == "live.mp4" else "hls")
    return seen


def _judge(seen: Seen, case: Case, path: str) -> None:
    if seen.first_s is None:
        seen.trouble = f"never moved (page says {seen.looks[-1]['state'] if seen.looks else 'nothing'})"
        return
    took = {look["path"] for look in seen.looks if look["path"]}
    if path == "auto" and took - {"live"}:
        seen.trouble = f"went from live.mp4 to {took}"
    if seen.first_s > case.first_s:
        seen.slow = f"the first picture came after {seen.first_s:.1f} s"
    elif seen.still_s > case.still_s:
        seen.slow = f"stood still for {seen.still_s:.1f} s"


async def watch_recording(browser: Browser, node: Classroom, case: Case, recording_id: str, *, has_video: bool) -> Seen:
    """Return the result of playing the recording to its end on the class page."""
    page = await browser.new_page(viewport=DESKTOP, locale="en-US")
    seen = Seen("recording")
    try:
        await page.goto(f"{node['class_url']}?recording={recording_id}")
        with contextlib.suppress(Exception):
            await page.get_by_label("Your name").fill("Mina", timeout=3_000)
            await page.get_by_role("button", name="Join").click(timeout=3_000)
        with contextlib.suppress(Exception):
            await page.get_by_role("button", name="Watch", exact=True).first.click(timeout=1_500)
        await watch(page, seen, time.monotonic() + 30, has_video=has_video, until=_has_ended)
    finally:
        await page.close()
    return _judge_file(seen, case, _has_ended)


async def watch_download(browser: Browser, case: Case, body: bytes, *, has_video: bool) -> Seen:
    """Return the result of playing the downloaded file to its end in a plain page."""
    page = await browser.new_page(viewport=DESKTOP)
    seen = Seen("download")
    try:
        await page.route("http://file.test/class.mp4", lambda route: route.fulfill(body=body, content_type="video/mp4"))
        await page.route("http://file.test/", lambda route: route.fulfill(body="<p></p>", content_type="text/html"))
        await page.goto("http://file.test/")
        await page.set_content('<video muted autoplay src="http://file.test/class.mp4"></video>')
        await watch(page, seen, time.monotonic() + 30, has_video=has_video, until=_at_end)
    finally:
        await page.close()
    return _judge_file(seen, case, _at_end)


def _has_ended(look: dict[str, Any]) -> bool:
    return bool(look["ended"])


def _at_end(look: dict[str, Any]) -> bool:
    return _has_ended(look) or (bool(look["duration"]) and look["t"] > look["duration"] - 0.2)


def _judge_file(seen: Seen, case: Case, at_end: Callable[[dict[str, Any]], bool]) -> Seen:
    if not seen.trouble:
        if seen.first_s is None:
            seen.trouble = "never moved"
        elif not at_end(seen.looks[-1]):
            last = seen.looks[-1]
            seen.trouble = f"stayed at {last['t']:.1f} of {last['duration'] or 0:.1f} s"
        elif seen.still_s > case.file_still_s:
            seen.slow = f"stood still for {seen.still_s:.1f} s"
    return seen


@dataclass
class Result:
    """The results of one case on all four outputs."""

    name: str
    case: Case
    published: Published
    seen: dict[str, Seen]
    said_in_studio: list[str]

    @property
    def trouble(self) -> str:
        """The problems; empty: the case has the expected result."""
        said = " / ".join(self.published.said)
        if self.case.refused is not None:
            return (
                "" if self.case.refused in said else f"was not refused with {self.case.refused!r}: {said or 'nothing'}"
            )
        if self.published.cut_s is not None:
            return f"the publish was ended after {self.published.cut_s:.1f} s: {said or 'without a word'}"
        unsaid = (
            f"the studio did not say {self.case.said!r}" if self.case.said not in ("", *self.said_in_studio) else ""
        )
        hidden = {name for name in self.case.hidden_in if self.seen[name].first_s is None}
        troubles = [
            f"{name}: {seen.trouble}" for name, seen in self.seen.items() if seen.trouble and name not in hidden
        ]
        return "; ".join(filter(None, (*troubles, unsaid)))

    @property
    def slow(self) -> str:
        """The outputs whose picture came late or stood still; this depends on the load of the machine."""
        return "; ".join(f"{name}: {seen.slow}" for name, seen in self.seen.items() if seen.slow)


async def run_case(
    node: AirnodeProcess, browser: Browser, session: Any, name: str, case: Case, *, only: tuple[str, ...] = OUTPUTS
) -> Result:
    """Publish the case into a new class. Return the results of the outputs. The node must record all classes."""
    stream = await asyncio.to_thread(case.make)
    has_video = case.counts_pictures and any(each.kind in (VIDEO, 0) for each in stream)
    room = await Classroom.open(node, session)
    api = Api(room, session)
    published = Published()
    port = int(node["rtmp_url"].split("/")[2].rsplit(":", 1)[1])
    live = [output for output in ("live.mp4", "HLS") if output in only and case.refused is None]
    # On a busy machine a page takes seconds to load: it is there before the encoder begins.
    pages = await asyncio.gather(*(open_class(browser, room, output) for output in live))
    until_s = time.monotonic() + case.seconds - 0.7
    sending = asyncio.create_task(publish(room, stream, case.seconds, port, published))
    seen: dict[str, Seen] = {}
    said: list[str] = []
    try:
        await asyncio.sleep(case.late_s)
        watchers: list[Awaitable[Seen]] = [
            watch_live(page, case, output, until_s, has_video=has_video)
            for page, output in zip(pages, live, strict=True)
        ]
        seen |= {each.output: each for each in await asyncio.gather(*watchers)}
        said = _findings(await api.room((await api.teacher())["token"]))
        await sending
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    if case.refused is None and published.cut_s is None and {"recording", "download"} & set(only):
        seen |= await _recorded(browser, room, case, api, session, only, has_video=has_video)
    return Result(name, case, published, seen, said)


def _findings(room: dict[str, Any]) -> list[str]:
    stream = room.get("stream") or {}
    far = ["key_frames"] if (stream.get("key_frame_interval_s") or 0) > FAR_KEY_FRAMES_S else []
    return far + [
        str(each.get("code", each)) if isinstance(each, dict) else str(each) for each in stream.get("findings", [])
    ]


async def _recorded(
    browser: Browser,
    room: Classroom,
    case: Case,
    api: Api,
    session: Any,
    only: tuple[str, ...],
    *,
    has_video: bool,
) -> dict[str, Seen]:
    recordings = Recordings(session, room, room, (await api.teacher())["token"], room.room)  # type: ignore[arg-type]
    try:
        recording = await recordings.until(30, status="finished")
    except (AssertionError, TimeoutError) as error:
        return {"recording": Seen("recording", trouble=f"no complete recording: {error}"[:120])}
    watchers: list[Awaitable[Seen]] = []
    if "download" in only:
        watchers.append(_downloaded(browser, case, recordings, recording["download_url"], has_video=has_video))
    if "recording" in only:
        watchers.append(watch_recording(browser, room, case, recording["recording_id"], has_video=has_video))
    return {seen.output: seen for seen in await asyncio.gather(*watchers)}


async def _downloaded(browser: Browser, case: Case, recordings: Recordings, url: str, *, has_video: bool) -> Seen:
    status, _, body = await recordings.get(url)
    if status != 200:
        return Seen("download", trouble=f"HTTP {status}")
    return await watch_download(browser, case, body, has_video=has_video)
