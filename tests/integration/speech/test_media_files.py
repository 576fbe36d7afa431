"""Media files that people, and people with bad intentions, upload: what is found, and which error comes."""

import asyncio
import itertools
import os
import random
import struct
import sys
from pathlib import Path

import pytest

from airnode.errors import AirnodeError, InvalidInput
from airnode.speech import errors
from airnode.speech.audio import BYTES_PER_S, SAMPLE_RATE
from airnode.speech.media.files import decode, pieces, probe
from airnode.speech.media.limits import MediaLimits
from tests.support.speech import made, written_wav
from tests.support.waiting import eventually

LIMITS = MediaLimits(max_duration_s=60, memory_bytes=2 << 30, timeout_s=60)
TONE = ("-f", "lavfi", "-i", "sine=frequency=440:duration=3")
PICTURE = ("-f", "lavfi", "-i", "color=size=64x64:rate=5:duration=3")


async def length_s(path: Path, tmp_path: Path, limits: MediaLimits = LIMITS) -> float:
    """What probing and decoding count, which is the same."""
    info = await probe(path, limits)
    out = tmp_path / "samples"
    decoded = await decode(path, out, limits)
    assert out.stat().st_size == decoded.samples * 2
    assert not info.is_too_long
    assert abs(info.duration_s - decoded.samples / SAMPLE_RATE) < 0.3
    return decoded.samples / SAMPLE_RATE


async def refused(path: Path, tmp_path: Path, limits: MediaLimits = LIMITS) -> list[type[AirnodeError]]:
    """The errors of probing and of decoding, after which no samples are left."""
    found: list[type[AirnodeError]] = []
    out = tmp_path / "samples"
    for work in (probe(path, limits), decode(path, out, limits)):
        with pytest.raises(AirnodeError) as caught:
            await work
        assert 400 <= caught.value.status < 500
        assert caught.value.detail
        found.append(type(caught.value))
    assert not out.exists()
    return found


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("phone.m4a", ("-c:a", "aac")),
        ("browser.webm", ("-c:a", "libopus")),
        ("old.mp3", ("-c:a", "libmp3lame")),
        ("studio.flac", ("-ar", "192000", "-sample_fmt", "s32")),
        ("telephone.wav", ("-ar", "8000", "-c:a", "pcm_mulaw")),
        ("cinema.wav", ("-ac", "8", "-ar", "48000")),
    ],
)
async def test_usual_files_are_decoded(name: str, arguments: tuple[str, ...], tmp_path: Path):
    assert abs(await length_s(made(tmp_path / name, *TONE, *arguments), tmp_path) - 3) < 0.1


@pytest.mark.ffmpeg
async def test_a_video_with_several_tracks_of_sound_gives_the_preferred_one(tmp_path: Path):
    inputs = [*PICTURE, *TONE, "-f", "lavfi", "-i", "sine=frequency=880:duration=1"]
    maps = ["-map", "0", "-map", "1", "-map", "2", "-disposition:a:0", "0", "-disposition:a:1", "default"]
    video = made(tmp_path / "two.mkv", *inputs, *maps, "-c:v", "mpeg4", "-c:a", "aac")
    info = await probe(video, LIMITS)
    assert (info.tracks, info.has_video, info.codec) == (2, True, "aac")
    assert info.duration_s < 1.2
    assert (await probe(video, LIMITS, track=0)).duration_s > 2.8
    with pytest.raises(errors.NoAudioTrack, match="2 tracks"):
        await probe(video, LIMITS, track=2)


@pytest.mark.ffmpeg
async def test_sound_that_begins_late_or_was_interrupted_keeps_its_times(tmp_path: Path):
    """Times of words must open the picture where they are said."""
    late = ["-itsoffset", "2", *TONE, "-map", "0", "-map", "1", "-c:v", "mpeg4", "-c:a", "aac"]
    whole = made(tmp_path / "late.mkv", *PICTURE, *late)
    assert abs(await length_s(whole, tmp_path) - 5) < 0.2
    samples = (tmp_path / "samples").read_bytes()
    assert not any(samples[: int(BYTES_PER_S * 1.9)])
    assert any(samples[int(BYTES_PER_S * 2.1) :])
    cut = ["-af", "aselect='not(between(t,1,2))'", "-c:a", "libopus"]
    interrupted = made(tmp_path / "interrupted.mkv", *TONE, *cut)
    assert abs(await length_s(interrupted, tmp_path) - 3) < 0.2
    samples = (tmp_path / "samples").read_bytes()
    assert not any(samples[int(BYTES_PER_S * 1.3) : int(BYTES_PER_S * 1.7)])


@pytest.mark.ffmpeg
async def test_files_without_sound_are_refused(tmp_path: Path):
    silent = made(tmp_path / "silent.mp4", *PICTURE, "-c:v", "mpeg4")
    assert await refused(silent, tmp_path) == [errors.NoAudioTrack] * 2
    (tmp_path / "empty.mp3").touch()
    assert await refused(tmp_path / "empty.mp3", tmp_path) == [errors.EmptyMedia] * 2
    no_samples = written_wav(tmp_path / "none.wav", b"")
    assert await refused(no_samples, tmp_path) == [errors.EmptyMedia] * 2


@pytest.mark.ffmpeg
async def test_what_is_no_recording_is_refused(tmp_path: Path):
    text = tmp_path / "notes.mp3"
    text.write_text("These are the notes of the lecture.\n" * 1000)
    whole = made(tmp_path / "whole.mp4", *PICTURE, *TONE, "-c:v", "mpeg4", "-c:a", "aac")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])  # the index is at the end
    random_bytes = tmp_path / "random.ogg"
    random_bytes.write_bytes(random.Random(1).randbytes(200_000))
    for path in (text, cut, random_bytes, tmp_path):
        assert set(await refused(path, tmp_path)) <= {errors.UnreadableMedia, errors.EmptyMedia}, path


@pytest.mark.ffmpeg
async def test_a_file_that_names_other_files_opens_none(tmp_path: Path):
    secret = written_wav(tmp_path / "secret.wav", b"\1\0" * SAMPLE_RATE)
    bodies = {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "list.mp3": f"ffconcat version 1.0\nfile '{secret}'\n",
        "list.aac": f"#EXTM3U\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n",
    }
    for name, body in bodies.items():
        (tmp_path / name).write_text(body)
        assert await refused(tmp_path / name, tmp_path) == [errors.UnreadableMedia] * 2


@pytest.mark.ffmpeg
async def test_half_a_file_is_decoded_until_its_end(tmp_path: Path):
    whole = made(tmp_path / "whole.mp3", *TONE, "-c:a", "libmp3lame")
    data = whole.read_bytes()
    half = tmp_path / "half.mp3"
    half.write_bytes(data[: len(data) // 2])
    assert 1.3 < await length_s(half, tmp_path) < 1.7
    spoiled = tmp_path / "spoiled.mp3"
    spoiled.write_bytes(data[:9000] + b"\x55" * 4000 + data[13000:])
    decoded = await decode(spoiled, tmp_path / "samples", LIMITS)
    assert 1.5 < decoded.samples / SAMPLE_RATE < 3.1


def lying_wav(path: Path, said_bytes: int, seconds: int) -> Path:
    """A WAV file whose header says another size than it has."""
    written_wav(path, b"\0" * (BYTES_PER_S * seconds))
    data = bytearray(path.read_bytes())
    data[4:8] = struct.pack("<I", min(said_bytes + 36, 0xFFFFFFFF))
    data[40:44] = struct.pack("<I", said_bytes)
    path.write_bytes(data)
    return path


@pytest.mark.ffmpeg
async def test_the_length_is_counted_and_not_believed(tmp_path: Path):
    more = lying_wav(tmp_path / "more.wav", 0xFFFFFF00, 2)  # says 37 hours
    assert await length_s(more, tmp_path) == 2.0
    long = made(tmp_path / "long.mp3", "-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "90", "-b:a", "8k")
    data = bytearray(long.read_bytes())
    xing = data.find(b"Info")
    data[xing + 8 : xing + 12] = struct.pack(">I", 10)  # says 10 frames
    long.write_bytes(data)
    info = await probe(long, LIMITS)
    assert info.is_too_long
    assert info.duration_s > 60
    with pytest.raises(errors.AudioTooLong) as caught:
        await decode(long, tmp_path / "samples", LIMITS)
    assert caught.value.fields["max_duration_s"] == 60
    assert not (tmp_path / "samples").exists()


async def test_hours_of_nothing_cost_little(tmp_path: Path):
    """500 MB of zeros, as they are and behind the header of a recording: neither is read to its end."""
    zeros = tmp_path / "zeros.wav"
    with zeros.open("wb") as file:
        file.truncate(500 << 20)
    assert set(await refused(zeros, tmp_path)) == {errors.UnreadableMedia}
    header = written_wav(tmp_path / "header.wav", b"\0\0" * 9).read_bytes()[:44]
    with zeros.open("r+b") as file:
        file.write(header[:40] + struct.pack("<I", (500 << 20) - 44))
    info = await probe(zeros, LIMITS)
    assert info.is_too_long
    assert info.duration_s > 16_000  # what it says, and it is true
    with pytest.raises(errors.AudioTooLong):
        await decode(zeros, tmp_path / "samples", LIMITS)


async def test_a_decoder_beyond_its_limits_is_ended(tmp_path: Path):
    long = written_wav(tmp_path / "long.wav", b"\0\0" * SAMPLE_RATE * 50)
    little_time = MediaLimits(60, 2 << 30, 0.02)
    with pytest.raises(errors.DecodingFailed, match="it takes too long"):
        await probe(long, little_time)
    if sys.platform == "linux":
        with pytest.raises(errors.DecodingFailed, match="memory"):
            await decode(long, tmp_path / "samples", MediaLimits(60, 64 << 20, 60))
    assert not (tmp_path / "samples").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_child_has_no_rights_and_ends_with_its_caller(tmp_path: Path):
    long = written_wav(tmp_path / "long.wav", b"\0\0" * SAMPLE_RATE * 59)
    work = asyncio.ensure_future(pieces_again(long))
    status = await child_status(work)
    assert status["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert status["Uid"].split() == ["65534"] * 4
        assert int(status["CapEff"], 16) == 0
    pid = int(status["Pid"])
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await eventually(lambda: not Path(f"/proc/{pid}").exists(), 10, "the child has ended")


async def pieces_again(pcm: Path) -> None:
    while True:
        await pieces(pcm, 5, 10, LIMITS)


async def child_status(work: "asyncio.Future[None]") -> dict[str, str]:
    """/proc/…/status of our child that has given up its rights."""
    async with asyncio.timeout(30):
        while not work.done():
            for task in Path("/proc/self/task").iterdir():
                for pid in (task / "children").read_text().split():
                    try:
                        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                    except OSError:
                        continue
                    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
                    if status.get("NoNewPrivs") == "1" and "State" in status:
                        return {name: value.strip() for name, value in status.items()}
            await asyncio.sleep(0)
    raise AssertionError("there was no child without rights")


async def test_audio_is_cut_at_silence(tmp_path: Path):
    pcm = tmp_path / "samples"
    pcm.write_bytes(b"\0\0" * SAMPLE_RATE * 25)
    found = await pieces(pcm, 5, 10, LIMITS)
    assert [piece.index for piece in found] == list(range(len(found)))
    assert found[0].start_s == 0
    assert found[-1].stop_s == 25
    assert all(one.stop_s == other.start_s for one, other in itertools.pairwise(found))
    assert all(piece.speech_s == 0 for piece in found)
    assert all(5 <= piece.stop_s - piece.start_s <= 10 for piece in found[:-1])
    pcm.write_bytes(b"")
    with pytest.raises(errors.EmptyMedia):
        await pieces(pcm, 5, 10, LIMITS)


def test_every_error_of_a_file_is_one_of_its_sender():
    for kind in (errors.EmptyMedia, errors.NoAudioTrack, errors.UnreadableMedia, errors.DecodingFailed):
        assert issubclass(kind, InvalidInput)
