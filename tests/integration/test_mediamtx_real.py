"""The MediaMTX engine against a real MediaMTX, where one is on PATH. No package contains it, so CI has none."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.support.browser import chromium
from tests.support.livemp4 import VIDEO, LiveReader
from tests.support.mediamtx import written
from tests.support.mediamtx_lesson import WITHIN_S, Lesson, engine, lines, open_class
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.ffmpeg,
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("mediamtx") is None, reason="there is no mediamtx on PATH"),
]

FLV = ("-c", "copy")


def free_ports(count: int) -> list[int]:
    socks = [socket.socket() for _ in range(count)]
    try:
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in socks]
    finally:
        for sock in socks:
            sock.close()


class Ports:
    """Free ports for the protocols of publishers."""

    def __init__(self) -> None:
        self.srt, self.rtsp, self.webrtc, self.webrtc_udp = free_ports(4)

    @property
    def options(self) -> tuple[str, ...]:
        values = {
            "srt_port": self.srt,
            "rtsp_port": self.rtsp,
            "webrtc_port": self.webrtc,
            "webrtc_udp_port": self.webrtc_udp,
        }
        return tuple(word for name, port in values.items() for word in ("--set", f"mediamtx.{name}={port}"))

    def srt_url(self, lesson: Lesson) -> str:
        return f"srt://127.0.0.1:{self.srt}?streamid=publish:live/{lesson.key}&pkt_size=1316"

    def rtsp_url(self, lesson: Lesson) -> str:
        return f"rtsp://127.0.0.1:{self.rtsp}/live/{lesson.key}"


@pytest.fixture(scope="module")
def ports() -> Ports:
    return Ports()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def studio(tmp_path_factory: pytest.TempPathFactory, ports: Ports) -> AsyncIterator[AirnodeProcess]:
    directory = tmp_path_factory.mktemp("studio")
    node = AirnodeProcess(directory / "data", *engine(Path(shutil.which("mediamtx") or "")), *ports.options)
    try:
        yield await node.start(60)
    finally:
        await node.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
async def lesson(studio: AirnodeProcess, session: aiohttp.ClientSession) -> Lesson:
    return await open_class(studio, session)


@contextmanager
def encoder(clip: Path, *output: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        ["ffmpeg", "-v", "error", "-nostdin", "-re", "-i", str(clip), *output], stdin=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def srt(ports: Ports, lesson: Lesson, *codecs: str) -> tuple[str, ...]:
    return (*(codecs or FLV), "-f", "mpegts", ports.srt_url(lesson))


def rtsp(ports: Ports, lesson: Lesson, *codecs: str) -> tuple[str, ...]:
    return (*(codecs or FLV), "-f", "rtsp", "-rtsp_transport", "tcp", ports.rtsp_url(lesson))


@pytest.mark.parametrize("output", [srt, rtsp])
async def test_media_plays(lesson: Lesson, ports: Ports, clip: Path, output):
    live = LiveReader(lesson.session, lesson.url("live.mp4"))
    with encoder(clip, *output(ports, lesson)):
        await lesson.until_playing()
        await live.start()
        try:
            stream = await live.fragments(60, WITHIN_S)
        finally:
            await live.close()
        state = await eventually(lesson.flowing, WITHIN_S, "the bit rate is known")
    assert len([*stream.samples(VIDEO)]) > 30
    assert state["stream"]["encoder"] == f"{output.__name__.upper()} (MediaMTX)"
    await lesson.until("reconnecting")


def listening() -> set[tuple[str, str]]:
    """Return (protocol, local address) of all sockets that MediaMTX listens on."""
    output = subprocess.run(["ss", "-lntupH"], capture_output=True, text=True, check=True).stdout
    return {(line.split()[0], line.split()[4]) for line in output.splitlines() if "mediamtx" in line}


@pytest.mark.skipif(shutil.which("ss") is None, reason="there is no ss on PATH")
async def test_only_the_configured_ports_are_open_and_on_the_configured_host(studio: AirnodeProcess, ports: Ports):
    config = written(studio.data_dir)
    assert listening() == {
        ("tcp", config["apiAddress"]),
        ("tcp", config["hlsAddress"]),
        ("tcp", f"127.0.0.1:{ports.rtsp}"),
        ("tcp", config["webrtcAddress"]),
        ("udp", f"127.0.0.1:{ports.srt}"),
        ("udp", f"127.0.0.1:{ports.webrtc_udp}"),
    }


async def test_sound_that_cannot_be_played_is_shown_and_the_class_goes_on(lesson: Lesson, ports: Ports, clip: Path):
    with encoder(clip, *rtsp(ports, lesson, "-c:v", "copy", "-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1")):
        await lesson.until_playing()

        async def shown() -> bool:
            stream = (await lesson.state())["stream"]
            return "G.711" in str(stream and stream["findings"])

        await eventually(shown, WITHIN_S, "the studio shows it")


async def test_a_picture_that_cannot_be_played_ends_the_publisher(lesson: Lesson, ports: Ports, clip: Path):
    with encoder(clip, *rtsp(ports, lesson, "-c:v", "libvpx", "-deadline", "realtime", "-an")) as process:
        await asyncio.to_thread(process.wait, WITHIN_S)
    kicked = [line for line in lines(lesson.node, "mediamtx_publisher_kicked") if line["room"] == lesson.room]
    assert kicked[0]["reason"].startswith("The codec VP8 cannot be played")


async def test_a_publisher_that_stops_sending_makes_the_class_reconnect(lesson: Lesson, ports: Ports, clip: Path):
    with encoder(clip, *rtsp(ports, lesson)) as process:
        await lesson.until_playing()
        process.send_signal(19)  # SIGSTOP
        await lesson.until("reconnecting")
        process.send_signal(18)  # SIGCONT
        await lesson.until("live")
        await eventually(lesson.flowing, WITHIN_S, "media comes again")


#: Publishes a canvas and a tone by WHIP; returns the status, and the codec of the picture after a while.
WHIP_PUBLISHER = """async ([url, codecs]) => {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  setInterval(() => { context.fillStyle = `hsl(${Date.now() / 10 % 360}, 50%, 50%)`;
    context.fillRect(0, 0, 300, 150); }, 40);
  const sound = new AudioContext(), tone = sound.createOscillator(), out = sound.createMediaStreamDestination();
  tone.connect(out); tone.start();
  const peer = window.peer = new RTCPeerConnection();
  const video = peer.addTransceiver(canvas.captureStream(25).getVideoTracks()[0], { direction: "sendonly" });
  peer.addTransceiver(out.stream.getAudioTracks()[0], { direction: "sendonly" });
  if (codecs.length) video.setCodecPreferences(RTCRtpSender.getCapabilities("video").codecs
    .filter(({ mimeType }) => codecs.includes(mimeType)));
  await peer.setLocalDescription(await peer.createOffer());
  await new Promise((resolve) => { if (peer.iceGatheringState === "complete") resolve();
    else peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && resolve();
    setTimeout(resolve, 2000); });
  const body = peer.localDescription.sdp;
  const answer = await fetch(url, { method: "POST", headers: { "Content-Type": "application/sdp" }, body });
  const text = await answer.text();
  if (answer.status !== 201) return [answer.status, text];
  await peer.setRemoteDescription({ type: "answer", sdp: text });
  return [answer.status, body.split("\\n").find((line) => line.startsWith("m=video"))];
}"""


@pytest.mark.chromium
async def test_a_browser_is_asked_for_h264_and_refused_without_it(lesson: Lesson):
    url = (await lesson.address())["whip_url"]
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(lesson.node["api_url"] + "/metrics")
        vp8 = ["video/VP8", "video/rtx"]
        status, text = await page.evaluate(WHIP_PUBLISHER, [url, vp8])
        assert status == 400
        assert "The picture is offered in VP8" in text
        status, offered = await page.evaluate(WHIP_PUBLISHER, [url, [*vp8, "video/H264"]])
        assert status == 201, offered
        state = await eventually(lesson.flowing, WITHIN_S, "media comes")
        assert state["stream"]["video_codecs"].startswith("avc1.")
        assert state["stream"]["audio_codecs"] == "opus"


class RealMediaMtx:
    """A MediaMTX that airnode did not start, with the API on all addresses."""

    def __init__(self, directory: Path) -> None:
        api, hls, rtmp = free_ports(3)
        self.api = f"http://127.0.0.1:{api}"
        self.rtmp = rtmp
        self._directory = directory
        (directory / "mediamtx.yml").write_text(
            f"api: yes\napiAddress: :{api}\nhlsAddress: 127.0.0.1:{hls}\nrtmpAddress: 127.0.0.1:{rtmp}\n"
            "rtsp: no\nsrt: no\nwebrtc: no\nmoq: no\npaths:\n  all_others:\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "RealMediaMtx":
        self._process = subprocess.Popen(["mediamtx", "mediamtx.yml"], cwd=self._directory)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def options(self) -> tuple[str, ...]:
        """Return airnode's options."""
        engine_options = ("--set", "media.engine=mediamtx", "--set", f"mediamtx.api_url={self.api}")
        return (*engine_options, "--set", "rtmp.takeover_after_s=30", "--log-level", "debug", "--log-format", "json")

    async def answers(self, session: aiohttp.ClientSession) -> bool:
        try:
            return bool(await self.config(session))
        except aiohttp.ClientError:
            return False

    async def config(self, session: aiohttp.ClientSession) -> dict:
        async with session.get(f"{self.api}/v3/config/global/get") as response:
            assert response.status == 200, await response.text()
            return await response.json()


async def test_a_running_mediamtx_survives_restarts_of_airnode(
    tmp_path: Path, session: aiohttp.ClientSession, clip: Path
):
    with RealMediaMtx(tmp_path) as external:
        await eventually(lambda: external.answers(session), WITHIN_S, "MediaMTX answers")
        node = AirnodeProcess(tmp_path / "data", *external.options)
        try:
            for start in range(2):
                await node.start(60)
                await eventually(
                    lambda count=start + 1: len(lines(node, "mediamtx_adopted")) >= count, WITHIN_S, "it is adopted"
                )
                config = await external.config(session)  # an operator's own call, without a password
                assert (config["authMethod"], config["hlsAlwaysRemux"]) == ("http", True)
                assert config["apiAddress"].startswith("127.0.0.1:")
                lesson = await open_class(node, session)
                url = f"rtmp://127.0.0.1:{external.rtmp}/live/{lesson.key}"
                with encoder(clip, *FLV, "-f", "flv", url):
                    await lesson.until_playing()
                if start == 0:
                    await node.kill()
            assert await node.stop() == 0
        finally:
            await node.close()
        # The first airnode was killed: the second one restores what it found, with which the API stays open.
        assert {"action": "api", "path": ""} in (await external.config(session))["authHTTPExclude"]


async def test_a_running_mediamtx_has_its_own_configuration_again_when_airnode_stops(
    tmp_path: Path, session: aiohttp.ClientSession
):
    with RealMediaMtx(tmp_path) as external:
        await eventually(lambda: external.answers(session), WITHIN_S, "MediaMTX answers")
        before = await external.config(session)
        node = AirnodeProcess(tmp_path / "data", *external.options)
        try:
            await node.start(60)
            await eventually(lambda: lines(node, "mediamtx_adopted"), WITHIN_S, "it is adopted")
            assert await node.stop() == 0
        finally:
            await node.close()
        assert await external.config(session) == before
