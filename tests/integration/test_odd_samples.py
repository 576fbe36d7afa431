"""One odd sample of each kind in a good stream: ``live.mp4`` goes on without a single error of the decoder.

The stream is published over RTMP as an encoder sends it, in real time; every eighth picture is odd. Prints a table.
"""

import asyncio
import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from airnode.media.samples.findings import KINDS
from tests.support.ffmpeg import make_clip
from tests.support.flvfile import read_tags
from tests.support.livemp4 import AUDIO, VIDEO, LiveReader, whole
from tests.support.node import Api
from tests.support.rtmp import RtmpPublisher, chunk
from tests.support.samples import AUD, SEI, adts, annexb, nals_of, sized
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]

VIDEO_TAG, AUDIO_TAG = 9, 8
Tag = tuple[int, int, bytes]
#: Makes one or several messages of what a message has behind its FLV header.
Spoil = Callable[[bytes], list[bytes]]

ODD_PICTURES: dict[str, tuple[Spoil, str]] = {
    "empty NAL unit behind": (lambda body: [body + bytes(4)], "empty_nal"),
    "empty NAL unit in front": (lambda body: [bytes(4) + body], "empty_nal"),
    "one stray zero": (lambda body: [body + b"\0"], "stray_bytes"),
    "three stray bytes": (lambda body: [body + b"\1\2\3"], "stray_bytes"),
    "size beyond the frame": (lambda body: [len(body).to_bytes(4, "big") + body[4:]], "cut_frame"),
    "cut in half": (lambda body: [body[: len(body) // 2]], "cut_frame"),
    "empty message": (lambda body: [b"", body], "empty"),
    "Annex B, four bytes": (lambda body: [annexb(*nals_of(body))], "annexb"),
    "Annex B, three bytes": (lambda body: [annexb(*nals_of(body), code=b"\0\0\1")], "annexb"),
    "Annex B behind a size": (lambda body: [sized(annexb(*nals_of(body)))], "annexb"),
    "invalid NAL unit": (lambda body: [sized(b"\x80\1\2\3") + body], "invalid_nal"),
    "delimiter alone": (lambda body: [sized(AUD), body], "headers_apart"),
    "SEI alone": (lambda body: [sized(SEI), body], "headers_apart"),
    "filler alone": (lambda body: [sized(b"\x0c\xff\x80"), body], "no_picture"),
}
ODD_SOUND: dict[str, tuple[Spoil, str]] = {
    "empty audio message": (lambda raw: [b"", raw], "empty"),
    "one byte": (lambda raw: [b"\0"], "invalid_audio"),
    "garbage": (lambda raw: [b"\xfe\xdc\xba\x98" * 9], "invalid_audio"),
    "configuration as a frame": (lambda raw: [b"\x12\x10", raw], "config_as_frame"),
    "ADTS header": (lambda raw: [adts(raw, layout=1)], "adts"),
    "LATM": (lambda raw: [b"\x56\xe0\x08" + b"\x20" * 8, raw], "latm"),
}
FIRST, EVERY = 45, 8


def spoiled(tags: list[Tag]) -> tuple[list[Tag], list[tuple[str, str]]]:
    """Return the tags with their odd ones, and (what is odd, code of its finding)."""
    ways = {VIDEO_TAG: list(ODD_PICTURES.items()), AUDIO_TAG: list(ODD_SOUND.items())}
    sent, odd, count = list[Tag](), list[tuple[str, str]](), {VIDEO_TAG: 0, AUDIO_TAG: 0}
    for kind, time_ms, tag in tags:
        head = tag[: 5 if kind == VIDEO_TAG else 2]
        bodies = [tag[len(head) :]]
        if kind in count and tag[1] == 1:
            count[kind] += 1
            is_turn = count[kind] >= FIRST and count[kind] % EVERY == 0 and tag[0] >> 4 != 1
            if is_turn and ways[kind]:
                name, (spoil, code) = ways[kind].pop(0)
                bodies = spoil(bodies[0])
                odd.append((name, code))
        sent += [(kind, time_ms, head + body) for body in bodies]
    return sent, odd


async def publish(peer: RtmpPublisher, stream_id: int, tags: list[Tag]) -> None:
    """Send tags in real time."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for kind, time_ms, body in tags:
        await asyncio.sleep(began_s + time_ms / 1000 - loop.time())
        csid = {AUDIO_TAG: 4, VIDEO_TAG: 6}.get(kind, 5)
        peer.send(chunk(kind, body, timestamp_ms=time_ms, stream_id=stream_id, csid=csid))
        await peer.writer.drain()


async def test_a_stream_with_one_odd_sample_of_each_kind_goes_on(class_api: Api, tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "clip.flv", 8, extra=("-tune", "zerolatency", "-x264-params", "slices=1:sliced-threads=0")
    )
    tags, odd = spoiled(list(read_tags(clip)))
    assert len(odd) == len(ODD_PICTURES) + len(ODD_SOUND)
    node = class_api.node
    peer = await RtmpPublisher.connect(urlsplit(node["rtmp_url"]).port or 1935)
    stream_id, status = await peer.publish(node["stream_key"])
    assert status == "NetStream.Publish.Start"
    publishing = asyncio.create_task(publish(peer, stream_id, tags))
    teacher = (await class_api.teacher())["token"]

    async def is_live() -> bool:
        room = await class_api.room(teacher)
        return room["state"] == "live" and room["stream"]["width"] > 0

    await eventually(is_live, what="the class is live")
    student = (await class_api.student())["token"]
    reader = await LiveReader(
        class_api.session, f"{node['media_url'].rstrip('/')}/v/{student}/{node.room}/live.mp4"
    ).start()
    await publishing
    last_ms = max(time_ms for _, time_ms, _ in tags)

    def all_came() -> bool:
        video = reader.stream.samples(VIDEO)
        return bool(video) and video[-1].time / 90 >= 10_000 + last_ms - 200

    await eventually(all_came, 20, "the last picture comes")
    found = {notice["code"] for notice in (await class_api.room(teacher))["stream"]["findings"]}
    await peer.aclose()
    await reader.close()

    print(f"\n{'odd sample':28}{'action':10}said in the studio")
    for name, code in odd:
        print(f"{name:28}{KINDS[code].action:10}{KINDS[code].sentence}")
    assert found == {code for _, code in odd}
    path = tmp_path / "live.mp4"
    path.write_bytes(whole(reader.data))
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # Two pictures were cut, and what was dropped of the sound is filled: nothing stands still.
    stream = reader.stream
    pictures = sum(kind == VIDEO_TAG and tag[1] == 1 for kind, _, tag in read_tags(clip))
    assert len(stream.samples(VIDEO)) >= pictures - 2 - 30
    for track in (VIDEO, AUDIO):
        samples = stream.samples(track)
        assert all(a.time + a.duration + 4000 >= b.time for a, b in itertools.pairwise(samples))
