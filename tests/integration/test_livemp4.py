"""``live.mp4`` from a real ffmpeg through a real node: who may watch, what comes, what slow viewers do to others."""

import asyncio
import itertools
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.support.ffmpeg import RATE, Publisher, make_clip
from tests.support.livemp4 import AUDIO, VIDEO, LiveReader, read, whole
from tests.support.node import AirnodeProcess, Api
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(90)]

FAT = ("-b:v", "8M", "-minrate", "8M", "-maxrate", "8M", "-bufsize", "1M", "-nal-hrd", "cbr")


def live_path(token: str, room: str) -> str:
    return f"/v/{token}/{room}/live.mp4"


class Class:
    """A node with a publisher, and readers of its class."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.readers: list[LiveReader] = []

    @property
    def media(self) -> str:
        return self.api.node["media_url"].rstrip("/")

    async def begin(self, clip: Path) -> Publisher:
        publisher = await Publisher.of_clip(self.api.node["rtmp_url"], clip).start()
        teacher = (await self.api.teacher())["token"]

        async def live() -> bool:
            return (await self.api.room(teacher))["state"] == "live"

        await eventually(live, what="the class is live")
        return publisher

    def path(self, token: str) -> str:
        return live_path(token, self.api.node.room)

    async def url(self, user_id: str = "mina") -> str:
        return self.media + self.path((await self.api.student(user_id))["token"])

    async def read(self, user_id: str = "mina") -> LiveReader:
        reader = await LiveReader(self.api.session, await self.url(user_id)).start()
        self.readers.append(reader)
        return reader

    async def viewers(self) -> int:
        return int((await self.api.room((await self.api.teacher())["token"]))["viewers"])

    async def metric(self, name: str) -> float:
        _, _, text = await self.api.get(f"{self.api.node['api_url']}/metrics")
        lines = [line for line in text.decode().splitlines() if line.startswith(f"airnode_media_live_{name} ")]
        return float(lines[0].split()[1])


@pytest.fixture
async def room(class_api: Api) -> AsyncIterator[Class]:
    found = Class(class_api)
    yield found
    for reader in found.readers:
        await reader.close()


def check_whole(reader: LiveReader) -> None:
    """Starts with a sync sample; decode times grow; every frame is there once (the clip's frames are all different)."""
    stream = reader.stream
    video, audio = stream.samples(VIDEO), stream.samples(AUDIO)
    assert stream.inits[0][0] == 0
    assert stream.fragments[0].key
    assert all(a.time < b.time <= a.time + 2 * a.duration for a, b in itertools.pairwise(video))
    assert all(a.time + a.duration == b.time for a, b in itertools.pairwise(audio))
    steps = [(b.time + b.cts - a.time - a.cts) * RATE / 90_000 for a, b in itertools.pairwise(video)]
    assert all(abs(step - 1) < 0.1 for step in steps), steps


def decoded(data: bytes, path: Path) -> tuple[int, int]:
    """Frames that ffmpeg decodes without a complaint: video, audio."""
    path.write_bytes(whole(data))
    ffmpeg, ffprobe = shutil.which("ffmpeg"), shutil.which("ffprobe")
    assert ffmpeg
    assert ffprobe
    done = subprocess.run([ffmpeg, "-v", "warning", "-xerror", "-i", path, "-f", "null", "-"], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    entries = ["-count_frames", "-show_entries", "stream=codec_type,nb_read_frames", "-of", "csv=p=0"]
    text = subprocess.run([ffprobe, "-v", "error", *entries, path], capture_output=True, text=True, check=True).stdout
    counts = dict(line.split(",")[:2] for line in text.split())
    return int(counts["video"]), int(counts["audio"])


async def test_a_viewer_gets_everything_since_the_key_frame_and_then_every_frame(
    room: Class, clip: Path, tmp_path: Path
):
    publisher = await room.begin(clip)
    try:
        early, late = await room.read(), None
        assert early.headers["Content-Type"] == 'video/mp4; codecs="avc1.42c01e,mp4a.40.2"'
        assert early.headers["Cache-Control"] == "no-store"
        assert early.headers["X-Accel-Buffering"] == "no"
        await early.fragments(45)
        late = await room.read("june")
        await late.fragments(120)
        for reader in (early, late):
            check_whole(reader)
            stream = reader.stream
            video, audio = decoded(reader.data, tmp_path / "live.mp4")
            assert video == len(stream.samples(VIDEO))
            assert audio >= len(stream.samples(AUDIO)) - 1
        # Both hold the same frames from where the later one came in.
        ours, theirs = ({each.time: each.data for each in reader.stream.samples(VIDEO)} for reader in (early, late))
        assert all(ours[time] == data for time, data in theirs.items() if time in ours)
        assert len(theirs.keys() & ours.keys()) > 40
    finally:
        await publisher.stop()


async def test_a_fragment_is_sent_as_soon_as_its_frame_arrives(room: Class, clip: Path):
    publisher = await room.begin(clip)
    try:
        reader = await room.read()
        await reader.fragments(60)
        fragments = [each for each in reader.stream.fragments if VIDEO in each.tracks]
        assert all(len(each.tracks[VIDEO]) == 1 for each in fragments)
        sound_alone = [each for each in reader.stream.fragments if VIDEO not in each.tracks]
        assert len(sound_alone) > 10
        times = [each.unix_s for each in fragments]
        assert times == sorted(times)
        span_s = times[-1] - times[0]
        assert span_s == pytest.approx(len(fragments) / RATE, rel=0.3)
    finally:
        await publisher.stop()


async def test_live_mp4_needs_a_valid_token(room: Class, clip: Path):
    token = (await room.api.student())["token"]
    status, _, body = await room.api.get(room.media + room.path(token))
    assert (status, b"not_found" in body) == (404, True)
    publisher = await room.begin(clip)
    try:
        await room.read()
        for path, expected in (
            (room.path("nonsense"), 401),
            (room.path(token[:-4] + "AAAA"), 401),
            (live_path(token, "other"), 403),
            (f"/live/{room.api.node.room}/live.mp4?jwt={token[:-4]}AAAA", 401),
        ):
            status, headers, body = await room.api.get(room.media + path, allow_redirects=False)
            assert status == expected, path
            assert headers["Content-Type"].startswith("application/problem+json")
            assert b"moof" not in body
        async with room.api.session.head(room.media + room.path(token)) as response:
            assert response.status == 200
        async with room.api.session.get(room.media + f"/live/{room.api.node.room}/live.mp4?jwt={token}") as response:
            assert response.status == 200
            assert (await response.content.readexactly(8))[4:] == b"ftyp"
    finally:
        await publisher.stop()


async def test_an_open_response_counts_as_a_viewer(room: Class, clip: Path):
    publisher = await room.begin(clip)
    try:
        for name in ("mina", "june"):
            await room.read(name)

        async def counted(wanted: int) -> bool:
            return await room.viewers() == wanted and await room.metric("viewers") == wanted

        await eventually(lambda: counted(2), what="two viewers are counted")
        await room.readers[0].close()

        async def one_response() -> bool:
            return await room.metric("viewers") == 1

        await eventually(one_response, what="one response is left")
    finally:
        await publisher.stop()


async def test_a_publisher_that_returns_continues_in_the_same_response(room: Class, clip: Path, tmp_path: Path):
    publisher = await room.begin(clip)
    try:
        reader = await room.read()
        await reader.fragments(30)
        await publisher.kill()
        before = len(reader.stream.fragments)
        publisher = await room.begin(clip)
        await reader.fragments(60)
        assert not reader.ended
        stream = reader.stream
        times = [sample.time for sample in stream.samples(VIDEO)]
        assert times == sorted(set(times))
        anew = [each for each in stream.fragments[before:] if VIDEO in each.tracks and each.key]
        assert anew
        assert decoded(reader.data, tmp_path / "live.mp4")[0] == len(times)
    finally:
        await publisher.kill()


async def test_the_response_ends_with_the_class(tmp_path: Path, clip: Path):
    node = AirnodeProcess(tmp_path / "data", "--set", "hls.grace_s=0.5")
    try:
        await node.start()
        async with aiohttp.ClientSession() as session:
            room = Class(Api(node, session))
            publisher = await room.begin(clip)
            reader = await room.read()
            await reader.fragments(10)
            await publisher.stop()
            await eventually(lambda: reader.ended, what="the response ends")
            status, _, _ = await room.api.get(await room.url())
            assert status == 404
    finally:
        await node.close()


async def test_a_node_that_shuts_down_ends_its_responses(node: AirnodeProcess, api: Api, clip: Path):
    room = Class(api)
    publisher = await room.begin(clip)
    try:
        reader = await room.read()
        await reader.fragments(10)
        assert await node.stop() == 0
        await eventually(lambda: reader.ended, what="the response ends")
        check_whole(reader)
    finally:
        for each in room.readers:
            await each.close()
        await publisher.kill()


class SlowViewer:
    """A plain socket that requests live.mp4 and reads only when the test wants it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.port
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        self.socket.connect(("127.0.0.1", parts.port))
        self.socket.sendall(f"GET {parts.path} HTTP/1.0\r\n\r\n".encode())
        self.socket.setblocking(False)
        self.data = b""

    async def read_until(self, enough: Callable[[], bool], within_s: float = 20) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(within_s):
            while not enough():
                more = await loop.sock_recv(self.socket, 1 << 20)
                if not more:
                    return
                self.data += more

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]


async def slow_node(tmp_path: Path, *args: str) -> AirnodeProcess:
    limits = ["--set", "media.live_queue_bytes=262144", "--set", "media.live_queue_fragments=30"]
    return await AirnodeProcess(tmp_path / "data", *limits, *args).start()


@pytest.fixture(scope="session")
def fat_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight megabits a second, so that buffers fill soon."""
    return make_clip(tmp_path_factory.mktemp("fat") / "clock.flv", 40, extra=FAT)


async def test_a_slow_viewer_skips_to_a_key_frame_and_affects_no_other(tmp_path: Path, fat_clip: Path):
    node = await slow_node(tmp_path)
    async with aiohttp.ClientSession() as session:
        room = Class(Api(node, session))
        publisher = await room.begin(fat_clip)
        try:
            quick = await room.read()
            await quick.fragments(10)
            slow = SlowViewer(await room.url("june"))

            async def skipped() -> bool:
                return await room.metric("skips_total") >= 1

            await eventually(skipped, 30, "the slow viewer is skipped")
            until = quick.stream.samples(VIDEO)[-1].time + 90_000

            def caught_up() -> bool:
                video = read(slow.body).samples(VIDEO)
                return bool(video) and video[-1].time > until

            await slow.read_until(caught_up)
            video = read(slow.body).samples(VIDEO)
            behind_hole = [b for a, b in itertools.pairwise(video) if b.time - a.time > 2 * a.duration]
            assert behind_hole
            assert all(sample.sync for sample in behind_hole)
            check_whole(quick)
            assert not quick.ended
            slow.socket.close()
        finally:
            await quick.close()
            await publisher.kill()
            await node.close()


async def test_a_viewer_that_receives_nothing_is_dropped(tmp_path: Path, fat_clip: Path):
    node = await slow_node(tmp_path, "--set", "media.live_stuck_s=1")
    async with aiohttp.ClientSession() as session:
        room = Class(Api(node, session))
        publisher = await room.begin(fat_clip)
        try:
            quick = await room.read()
            stuck = SlowViewer(await room.url("june"))

            async def dropped() -> bool:
                return await room.metric("dropped_total") == 1 and await room.metric("viewers") == 1

            await eventually(dropped, 30, "the viewer is dropped")
            await quick.fragments(30)
            check_whole(quick)
            stuck.socket.close()
        finally:
            await quick.close()
            await publisher.kill()
            await node.close()
