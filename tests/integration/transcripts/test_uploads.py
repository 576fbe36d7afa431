"""Receiving uploads: hostile forms, limits, clients that go away, a full disk. Nothing is ever left behind."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from airnode.config.sections.speech import SpeechSection
from airnode.speech.service.upload_files import UploadFiles
from airnode.speech.service.uploads import Upload, UploadMetrics, UploadReceiver
from airnode.web.problems import problems
from tests.support.waiting import eventually

#: aiohttp warns of odd headers in a form.
pytestmark = pytest.mark.filterwarnings(
    "ignore::aiohttp.BadContentDispositionHeader", "ignore::aiohttp.BadContentDispositionParam"
)

HEADERS = {"Content-Type": "multipart/form-data; boundary=x"}
BEGIN = b'--x\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n'


class Receiver:
    """A server that receives uploads and keeps what it got."""

    def __init__(self, root: Path, **section: object) -> None:
        values = {"max_upload_bytes": 100_000, "min_free_bytes": 0, "upload_gap_s": 0.3, "max_uploads": 2} | section
        self.files = UploadFiles(root / "uploads", values["min_free_bytes"])
        self.registry = CollectorRegistry()
        self.receiver = UploadReceiver(self.files, SpeechSection(**values), UploadMetrics(self.registry))
        self.got: list[Upload] = []
        app = web.Application(middlewares=[problems])
        app.router.add_post("/", self._receive)
        self.server = TestServer(app)
        self.session = aiohttp.ClientSession()

    async def _receive(self, request: web.Request) -> web.Response:
        upload = await self.receiver.receive(request, ("audio",))
        self.got.append(upload)
        return web.json_response({"size": upload.size_bytes})

    async def post(self, data: object, **headers: str) -> tuple[int, dict]:
        if isinstance(data, bytes):
            data = io.BytesIO(data)
        async with self.session.post(self.server.make_url("/"), data=data, headers=HEADERS | headers) as response:
            return response.status, await response.json(content_type=None)

    def left(self) -> list[Path]:
        return [path for path in self.files.root.rglob("*") if path.is_file()]

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def make_receiver(tmp_path: Path) -> AsyncIterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    async def make(**section: object) -> Receiver:
        receiver = Receiver(tmp_path, **section)
        await receiver.server.start_server()
        made.append(receiver)
        return receiver

    yield make
    for receiver in made:
        await receiver.session.close()
        await receiver.server.close()


def form(content: bytes, *more: bytes) -> bytes:
    return BEGIN + content + b"\r\n" + b"".join(more) + b"--x--\r\n"


def field(name: str, value: bytes) -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"


async def test_a_file_and_fields_before_and_after_it(make_receiver):
    receiver = await make_receiver()
    content = bytes(range(256)) * 300
    body = field("language", b"en") + form(content, field("language", b" ko "), field("a[]", b"1"), field("a[]", b"2"))
    assert await receiver.post(body) == (200, {"size": len(content)})
    (upload,) = receiver.got
    assert (upload.path.read_bytes(), upload.name) == (content, "a.wav")
    assert (upload.field("language"), upload.fields["a"], upload.field("none", "x")) == ("ko", ("1", "2"), "x")
    receiver.files.keep(upload.transcript_id)
    assert receiver.files.upload(upload.transcript_id).read_bytes() == content
    assert receiver.files.kept() == {upload.transcript_id}
    receiver.files.discard(upload.transcript_id)
    receiver.files.discard(upload.transcript_id)
    assert receiver.left() == []


async def test_hostile_forms(make_receiver):
    receiver = await make_receiver()

    async def check(body: bytes) -> None:
        status, answer = await receiver.post(body)
        for upload in receiver.got:
            receiver.files.discard(upload.transcript_id)
        receiver.got.clear()
        assert status in (200, 400, 413), answer
        assert receiver.left() == []
        assert receiver.count("airnode_speech_open_uploads") == 0

    for body in (
        b"",
        b"--x",
        b"--x--\r\n",
        b"\r\n" * 10_000,
        b"--y\r\n" * 1000,
        BEGIN,
        BEGIN + b"abc",
        BEGIN.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n")
        + b"!!!\r\n--x--",
        BEGIN.replace(b"\r\n\r\n", b"\r\nContent-Length: 99999999999\r\n\r\n") + b"abc\r\n--x--",
        BEGIN.replace(b"\r\n\r\n", b"\r\nContent-Length: -5\r\n\r\n") + b"abc\r\n--x--",
        BEGIN.replace(b"\r\n\r\n", b"\r\nContent-Type: multipart/mixed; boundary=z\r\n\r\n") + b"--z--\r\n--x--",
        b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--",
        b"--x\r\n" + b"A: b\r\n" * 10_000 + b"\r\nabc\r\n--x--",
        b"--x\r\nA: " + b"b" * 90_000 + b"\r\n\r\nabc\r\n--x--",
        form(b"abc", *(field("f", b"") for _ in range(1000))),
        form(b"abc", field("prompt", bytes(50_000))),
        form(b"abc", form(b"def")),
    ):
        await check(body)
        await check(form(b"abc") if body == b"" else body[: len(body) // 2])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.sampled_from([b"--x", b"--", b"\r\n", BEGIN, b"abc", b"\x00\xff", b"Content-Length: 3", b": "]), max_size=12
    )
)
def test_any_order_of_the_parts_of_a_form(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]):
    async def run() -> None:
        receiver = Receiver(tmp_path_factory.mktemp("any"))
        await receiver.server.start_server()
        try:
            status, answer = await receiver.post(b"".join(pieces))
            assert status in (200, 400), answer
            assert len(receiver.left()) == len(receiver.got)
        finally:
            await receiver.session.close()
            await receiver.server.close()

    asyncio.run(run())


async def test_limits(make_receiver):
    receiver = await make_receiver()
    status, answer = await receiver.post(form(bytes(100_001)))
    assert (status, answer["code"]) == (413, "upload_too_large")
    status, answer = await receiver.post(form(bytes(5_000_000)))
    assert (status, answer["code"]) == (413, "upload_too_large")

    async def unannounced() -> AsyncIterator[bytes]:
        yield BEGIN
        for _ in range(100):
            yield bytes(50_000)

    status, answer = await receiver.post(unannounced())
    assert (status, answer["code"]) == (413, "upload_too_large")
    assert receiver.count("airnode_speech_uploads_refused_total", code="upload_too_large") == 3
    assert receiver.left() == []


async def test_too_many_at_once_and_clients_that_stall_or_go_away(make_receiver):
    receiver = await make_receiver(upload_gap_s=1)
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield BEGIN + bytes(1000)
        await go.wait()
        yield b"\r\n--x--\r\n"

    first = [asyncio.ensure_future(receiver.post(slow())) for _ in range(2)]
    await eventually(lambda: receiver.count("airnode_speech_open_uploads") == 2, 5, "both are being received")
    status, answer = await receiver.post(form(b"abc"))
    assert (status, answer["code"]) == (503, "too_many_uploads")
    first[0].cancel()  # it goes away
    go_on = await first[1]  # it stalls
    assert (go_on[0], go_on[1]["code"]) == (400, "upload_broken")
    await eventually(lambda: receiver.left() == [], 5, "nothing is left")
    assert receiver.count("airnode_speech_open_uploads") == 0
    assert (await receiver.post(form(b"abc")))[0] == 200
    go.set()


async def test_a_full_disk(make_receiver):
    receiver = await make_receiver(min_free_bytes=1 << 60)
    status, answer = await receiver.post(form(b"abc"))
    assert (status, answer["code"]) == (507, "upload_store_full")
    assert "speech.min_free_bytes" in answer["detail"]
    assert receiver.left() == []
