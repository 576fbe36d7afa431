"""Publishers with an oddity that ended classes once, against a real node: the class goes on, or its end is explained.

All of them publish at the same time, into classes of their own; each test looks at one result.
"""

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from airnode.media.rtmp import amf0
from tests.support.flvfile import read_tags
from tests.support.livemp4 import AUDIO, VIDEO, LiveReader
from tests.support.node import AirnodeProcess, Api, Classroom
from tests.support.rtmp import chunk, command
from tests.support.tag_publisher import CHUNK_BYTES, Tag, TagPublisher, raw
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

#: The oddity begins behind the first key frame, so that the class is live already.
_FIRST_MS = 1_500
#: {track: samples in live.mp4 that are proof that the class went on}.
ENOUGH = {VIDEO: 120, AUDIO: 190}

META = ["@setDataFrame", "onMetaData", {"width": 640.0, "height": 360.0}]
Change = Callable[[list[Tag]], Iterable[Tag]]


def every_second(*odd: Tag) -> Change:
    """Insert tags once a second, at the time of the tag behind them."""

    def change(tags: list[Tag]) -> Iterable[Tag]:
        next_ms = _FIRST_MS
        for tag in tags:
            if tag.at_ms >= next_ms:
                next_ms += 1_000
                for each in odd:
                    yield Tag(each.kind, tag.at_ms, each.body, each.stream_id, each.raw)
            yield tag

    return change


def data(payload: bytes, kind: int = 18) -> Change:
    return every_second(Tag(kind, 0, payload))


def each(change: Callable[[Tag], Iterable[Tag]]) -> Change:
    return lambda tags: (new for tag in tags for new in change(tag))


def with_second_sound(tag: Tag) -> Iterable[Tag]:
    yield tag
    if tag.kind == 8:
        yield Tag(8, tag.at_ms, bytes([0x95, tag.body[1]]) + b"mp4a\x01" + tag.body[2:])


def with_second_picture(tag: Tag) -> Iterable[Tag]:
    yield tag
    if tag.kind == 9:
        head = bytes([0x80 | tag.body[0] >> 4 << 4 | 6, tag.body[1]]) + b"avc1\x01"
        yield Tag(9, tag.at_ms, head + (tag.body[5:] if tag.body[1] == 0 else tag.body[2:]))


def as_many_tracks(tag: Tag) -> Iterable[Tag]:
    """Send both tracks as track 0 of several, of which the other one cannot be played."""
    if tag.kind not in (8, 9):
        yield tag
        return
    is_sound = tag.kind == 8
    code, other = (b"mp4a", b"ac-3") if is_sound else (b"avc1", b"vp09")
    body = tag.body[2:] if is_sound else (tag.body[5:] if tag.body[1] == 0 else tag.body[2:])
    head = bytes([0x95]) if is_sound else bytes([0x80 | tag.body[0] >> 4 << 4 | 6])
    tracks = other + b"\x01\0\0\3xyz" + code + b"\0" + len(body).to_bytes(3, "big") + body
    yield Tag(tag.kind, tag.at_ms, head + bytes([0x20 | tag.body[1]]) + tracks)


def with_vod_track(tag: Tag) -> Iterable[Tag]:
    """Twitch's VOD track, as OBS up to 30.1 sends it: each frame of a second sound as an AMF3 byte array."""
    yield tag
    if tag.kind == 8:
        size = len(tag.body) << 1 | 1
        length = bytes([size >> 14 & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size & 0x7F])
        media = b"\x03\0\2id\x02\0\7stream0\0\5media\x11\x0c" + length + tag.body + b"\0\0\x09"
        yield Tag(18, tag.at_ms, amf0.encode(["additionalMedia"]) + media)


def without_stream_id(tag: Tag) -> Iterable[Tag]:
    yield Tag(tag.kind, tag.at_ms, tag.body, stream_id=0)


def format_1_first(tags: list[Tag]) -> Iterable[Tag]:
    """Begin each chunk stream with a header of format 1: it has no message stream id."""
    last_ms: dict[int, int] = {}
    for tag in tags:
        csid = {8: 4, 9: 6}.get(tag.kind, 5)
        delta_ms = tag.at_ms - last_ms.get(csid, 0)
        last_ms[csid] = tag.at_ms
        head = bytes([0x40 | csid]) + delta_ms.to_bytes(3, "big") + len(tag.body).to_bytes(3, "big")
        yield raw(tag.at_ms, head + bytes([tag.kind]) + tag.body)


def given_up(tags: list[Tag]) -> Iterable[Tag]:
    """Leave every tenth picture incomplete behind its first chunk, as on a slow network, without an Abort Message."""
    small, usual = (chunk(1, size.to_bytes(4, "big"), csid=2) for size in (128, CHUNK_BYTES))
    pictures = 0
    for tag in tags:
        pictures += tag.kind == 9
        if tag.kind == 9 and tag.body[0] == 0x27 and pictures % 10 == 0:
            begun = chunk(9, tag.body, timestamp_ms=tag.at_ms, stream_id=1, csid=6)[: 12 + 128]
            yield raw(tag.at_ms, small + begun + usual)
        else:
            yield tag


def fresh_chunk_streams(tags: list[Tag]) -> Iterable[Tag]:
    for index, tag in enumerate(tags):
        message = chunk(tag.kind, tag.body, timestamp_ms=tag.at_ms, stream_id=1, csid=5, chunk_size_bytes=CHUNK_BYTES)
        csid = 64 + index % 256
        yield raw(tag.at_ms, bytes([0, csid - 64]) + message[1:])


def sound_as(head: bytes, skipped: int = 2, from_ms: int = 0) -> Change:
    return each(
        lambda tag: [Tag(8, tag.at_ms, head + tag.body[skipped:]) if tag.kind == 8 and tag.at_ms >= from_ms else tag]
    )


def picture_as(head: bytes) -> Change:
    return each(lambda tag: [Tag(9, tag.at_ms, head + tag.body[5:]) if tag.kind == 9 else tag])


AMF3_SIZE = b"\x11\x0a\x0b\x01\x0bwidth\x04\x85\x00\x01"
PLAYING: dict[str, Change] = {
    "unchanged": lambda tags: tags,
    "amf3 metadata": data(amf0.encode(META[:2]) + AMF3_SIZE),
    "amf3 metadata of type 15": data(b"\0" + amf0.encode(META[:2]) + AMF3_SIZE, 15),
    "amf3 only": data(b"\x06\x1b@setDataFrame\x06\x15onMetaData\x0a\x0b\x01\x0bwidth\x04\x85\x00\x01", 15),
    "metadata with a format byte": data(b"\0" + amf0.encode(META)),
    "metadata cut short": data(amf0.encode(META)[:-12]),
    "metadata without its end": data(amf0.encode(META)[:-3]),
    "metadata with an index": data(amf0.encode(["onMetaData", {"keyframes": {"times": [1.0] * 3000}}])),
    "deep metadata": data(amf0.encode(["onMetaData"]) + b"\x03\0\1a" * 500),
    "binary metadata": data(os.urandom(60)),
    "twitch's vod track": each(with_vod_track),
    "command cut short": every_second(Tag(20, 0, amf0.encode(["foo", 1.0])[:9], 0)),
    "command in amf3": every_second(Tag(17, 0, b"\0" + amf0.encode(["foo", 1.0]) + b"\x11\xff", 0)),
    "chunk size 2^31-1": every_second(raw(0, chunk(1, struct.pack(">I", 0x7FFFFFFF), csid=2))),
    "chunk size 2^27": every_second(raw(0, chunk(1, struct.pack(">I", 1 << 27), csid=2))),
    "chunk size 0": every_second(raw(0, chunk(1, bytes(4), csid=2))),
    "chunk size cut short": every_second(raw(0, chunk(1, b"\xea\x60", csid=2))),
    "window of 0": every_second(raw(0, chunk(5, bytes(4), csid=2))),
    "message stream 0": each(without_stream_id),
    "format 1 first": format_1_first,
    "pictures given up": given_up,
    "fresh chunk streams": fresh_chunk_streams,
    "broken aggregate": every_second(Tag(22, 0, b"\x09\0\0\x09")),
    "second sound": each(with_second_sound),
    "second picture": each(with_second_picture),
    "many tracks": each(as_many_tracks),
    "empty sound messages": every_second(*[Tag(8, 0, b"")] * 120),
    "hdr metadata": every_second(Tag(9, 0, b"\xd4avc1" + amf0.encode(["colorInfo", {"colorConfig": {}}]))),
}
#: name: (change, the track that goes on, the finding in the studio).
ONE_TRACK: dict[str, tuple[Change, int, tuple[str, str]]] = {
    "mp3": (sound_as(b"\x2f"), VIDEO, ("audio_codec", "MP3")),
    "ac-3": (sound_as(b"\x91ac-3"), VIDEO, ("audio_codec", "AC-3")),
    "speex": (sound_as(b"\xb2"), VIDEO, ("audio_codec", "Speex")),
    "mp3 later": (sound_as(b"\x2f", from_ms=1_500), VIDEO, ("audio_codec", "MP3")),
    "vp9": (picture_as(b"\x91vp09\0\0\0"), AUDIO, ("video_codec", "VP9")),
    "screen video": (picture_as(b"\x13"), AUDIO, ("video_codec", "Screen Video")),
}


#: name: (change, what the status says).
ENDED: dict[str, tuple[Change, str]] = {
    "screen video and mp3": (
        lambda tags: picture_as(b"\x13")(list(sound_as(b"\x2f")(tags))),
        "The codec Screen Video and the codec MP3 cannot be played in browsers; send H.264 and AAC.",
    ),
    "only vp9": (
        lambda tags: picture_as(b"\x91vp09\0\0\0")([tag for tag in tags if tag.kind == 9]),
        "The codec VP9 cannot be played in browsers; send H.264.",
    ),
    "a message of 16 MB": (
        every_second(raw(0, bytes.fromhex("06 000000 ffffff 09 01000000"))),
        "A message of 16777215 bytes is longer than rtmp.max_message_bytes allows.",
    ),
    "a chunk stream without a beginning": (
        every_second(raw(0, b"\xf0")),
        "Chunk stream 48 begins with a header of format 3.",
    ),
    "a second connect": (every_second(raw(0, command("connect", 9.0, {"app": "live"}))), "A second connect came."),
}
CHANGES = PLAYING | {name: each[0] for name, each in (ONE_TRACK | ENDED).items()}


@dataclass
class Result:
    """What became of one publisher.

    Attributes:
        samples: {track: number of samples in live.mp4}.
        findings: (code, codec) of what the studio shows.
        ends: log lines about the end of the publish.
    """

    publisher: TagPublisher
    samples: dict[int, int]
    findings: list[tuple[str, str]]
    ends: list[str]


async def publish(
    node: AirnodeProcess, session: aiohttp.ClientSession, tags: Iterable[Tag], wanted: set[int]
) -> Result:
    """Publish into a new class until live.mp4 has enough of the wanted tracks, or the server ends it."""
    classroom = await Classroom.open(node, session)
    api = Api(classroom, session)
    teacher, student = (await api.teacher())["token"], (await api.student())["token"]
    reader = LiveReader(session, f"{node['media_url'].rstrip('/')}/v/{student}/{classroom.room}/live.mp4")
    publisher = await TagPublisher(classroom, tags).start()

    async def can_be_read() -> bool:
        try:
            await reader.start()
        except AssertionError:
            return publisher.ended
        return True

    def counted() -> dict[int, int]:
        stream = reader.stream
        return {track: len(stream.samples(track)) for track in (VIDEO, AUDIO)}

    try:
        await eventually(can_be_read, 60, "there is something to read")
        await eventually(
            lambda: publisher.ended or all(counted()[track] >= ENOUGH[track] for track in wanted), 60, "media goes on"
        )
        stream = (await api.room(teacher))["stream"] or {"findings": []}
        findings = [(each["code"], each["fields"].get("codec", "")) for each in stream["findings"]]
        ends = [line for line in classroom.log.splitlines() if classroom.room in line and "_ended" in line]
        return Result(publisher, counted(), findings, ends)
    finally:
        await reader.close()
        await publisher.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def results(shared_node: AirnodeProcess, clip: Path) -> AsyncIterator[dict[str, Result]]:
    tags = [Tag(kind, at_ms, body) for kind, at_ms, body in read_tags(clip) if at_ms < 30_000]
    few = asyncio.Semaphore(6)

    async def one(name: str, session: aiohttp.ClientSession) -> Result:
        wanted = {ONE_TRACK[name][1]} if name in ONE_TRACK else {VIDEO, AUDIO}
        async with few:
            return await publish(shared_node, session, CHANGES[name](tags), wanted)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        found = await asyncio.gather(*(one(name, session) for name in CHANGES))
        yield dict(zip(CHANGES, found, strict=True))


@pytest.mark.parametrize("name", PLAYING)
async def test_a_class_goes_on(results: dict[str, Result], name: str) -> None:
    result = results[name]
    assert (result.publisher.ended, result.publisher.statuses, result.ends) == (False, [], [])
    assert all(result.samples[track] >= enough for track, enough in ENOUGH.items())


@pytest.mark.parametrize("name", ONE_TRACK)
async def test_a_class_goes_on_with_one_track(results: dict[str, Result], name: str) -> None:
    result = results[name]
    _, track, finding = ONE_TRACK[name]
    assert (result.publisher.ended, result.publisher.statuses, result.ends) == (False, [], [])
    assert result.samples[track] >= ENOUGH[track]
    assert finding in result.findings


@pytest.mark.parametrize("name", ENDED)
async def test_what_ends_a_class_is_said(results: dict[str, Result], name: str) -> None:
    result = results[name]
    assert result.publisher.ended
    status = {"level": "error", "code": "NetStream.Publish.Failed", "description": ENDED[name][1]}
    assert result.publisher.statuses == [status]


async def test_further_tracks_are_said_in_the_studio(results: dict[str, Result]) -> None:
    for name in ("second sound", "second picture"):
        assert ("extra_track", "") in results[name].findings
