"""The four outputs of a class that an encoder publishes: ``live.mp4``, HLS, a recording on the page, its download."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from tests.encoders.cases import Case
from tests.encoders.decoding import decode
from tests.encoders.stream import CHUNK_SIZE_BYTES, RECONNECT, VIDEO, Stream
from tests.encoders.watching import OUTPUTS, Screens, Seen
from tests.support.node import AirnodeProcess, Api, Classroom
from tests.support.recordings import Recordings
from tests.support.rtmp import RtmpPublisher, chunk

#: The studio gives advice if key frames are further apart (``studio/health.ts``).
FAR_KEY_FRAMES_S = 4.0
#: The studio is asked shortly before the stream ends.
_STUDIO_BEFORE_S = 0.3
_LIVE = {"live.mp4": "live.mp4", "HLS": "media.m3u8"}


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
    node: AirnodeProcess, screens: Screens, session: Any, name: str, case: Case, *, only: tuple[str, ...] = OUTPUTS
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
    pages = await asyncio.gather(*(screens.open_class(room, output) for output in live)) if case.in_browser else []
    if not case.late_s:
        await asyncio.gather(*(screens.join(page) for page in pages))
    until_s = time.monotonic() + case.seconds - 0.7
    sending = asyncio.create_task(publish(room, stream, case.seconds, port, published))
    seen: dict[str, Seen] = {}
    said: list[str] = []
    try:
        if case.late_s:
            await asyncio.sleep(case.late_s)
            await asyncio.gather(*(screens.join(page) for page in pages))
        for_s = until_s - time.monotonic()
        watchers: list[Awaitable[Seen]]
        if case.in_browser:
            watchers = [
                screens.watch_live(page, case, output, for_s, has_video=has_video)
                for page, output in zip(pages, live, strict=True)
            ]
        else:
            base = f"{room['media_url']}/v/{(await api.student())['token']}/{room.room}"
            watchers = [decode(case, output, f"{base}/{_LIVE[output]}", for_s) for output in live]
        watched, said = await asyncio.gather(
            asyncio.gather(*watchers), _said_in_studio(api, until_s - _STUDIO_BEFORE_S)
        )
        seen |= {each.output: each for each in watched}
        await sending
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    if case.refused is None and published.cut_s is None and {"recording", "download"} & set(only):
        seen |= await _recorded(screens, room, case, api, session, only, has_video=has_video)
    return Result(name, case, published, seen, said)


async def _said_in_studio(api: Api, at_s: float) -> list[str]:
    """Return the codes of the findings that the studio shows at this monotonic time."""
    token = (await api.teacher())["token"]
    await asyncio.sleep(at_s - time.monotonic())
    room = await api.room(token)
    stream = room.get("stream") or {}
    far = ["key_frames"] if (stream.get("key_frame_interval_s") or 0) > FAR_KEY_FRAMES_S else []
    return far + [
        str(each.get("code", each)) if isinstance(each, dict) else str(each) for each in stream.get("findings", [])
    ]


async def _recorded(
    screens: Screens,
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
    recording_id, download = recording["recording_id"], recordings.url(recording["download_url"])
    watchers: list[Awaitable[Seen]] = []
    if "download" in only:
        watchers.append(
            screens.watch_download(case, download, has_video=has_video)
            if case.in_browser
            else decode(case, "download", download)
        )
    if "recording" in only:
        watchers.append(
            screens.watch_recording(room, case, recording_id, has_video=has_video)
            if case.in_browser
            else decode(case, "recording", recordings.url(recording["playlist_url"]))
        )
    return {seen.output: seen for seen in await asyncio.gather(*watchers)}
