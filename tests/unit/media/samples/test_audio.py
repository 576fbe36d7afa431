"""AAC frames and Opus packets: each kind of odd sample is repaired or dropped, and counted once."""

import random
import struct
from fractions import Fraction
from functools import cache

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.codecs import aac
from airnode.media.codecs.libav import LibavImport
from airnode.media.frames import AudioCodec, AudioConfig, Frame
from tests.support.samples import MONO, MONO_FRAME, STEREO, STEREO_FRAME, Stream, adts

DOPS = bytes.fromhex("0002013800000bb8000000")[:11]
#: A program config element, and a fill element, in front of something.
PCE, FIL = b"\xa0\x00", b"\xde\x04"
LOAS = b"\x56\xe0\x08" + b"\x20" * 8


def test_clean_frames_are_passed_on_as_they_are() -> None:
    stream = Stream("aac").audio(*[STEREO_FRAME] * 60)
    assert stream.passed[0] == aac.parse_asc(STEREO)
    assert len(stream.frames) == 60
    assert all(frame.data is STEREO_FRAME for frame in stream.frames)
    assert stream.codes == {}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"\0", "invalid_audio", id="one zero"),
        pytest.param(b"\x21", "invalid_audio", id="one byte"),
        pytest.param(STEREO_FRAME[:3], "invalid_audio", id="three bytes"),
        pytest.param(STEREO, "config_as_frame", id="the configuration"),
        pytest.param(MONO, "config_as_frame", id="another configuration"),
        pytest.param(b"\x12\x10\x56\xe5\x00", "config_as_frame", id="a configuration with an extension"),
        pytest.param(b"\x40" + bytes(20) + b"\x07", "invalid_audio", id="a coupling element first"),
        pytest.param(b"\x60" + bytes(20) + b"\x07", "invalid_audio", id="an LFE element first"),
        pytest.param(b"\xe0", "invalid_audio", id="END only"),
        pytest.param(b"\xfe\xed\xfa\xce" * 9, "invalid_audio", id="garbage that begins with END"),
        pytest.param(b"\x21" + b"\x11" * 60, "invalid_audio", id="cut off"),
        pytest.param(b"\x21\x80" + STEREO_FRAME[2:], "invalid_audio", id="the reserved bit is set"),
        pytest.param(b"\x21\x0f\xe0" + STEREO_FRAME[3:], "invalid_audio", id="too many bands"),
        pytest.param(b"\x21\x00\x20" + STEREO_FRAME[3:], "invalid_audio", id="prediction"),
        pytest.param(MONO_FRAME, "invalid_audio", id="another number of channels"),
        pytest.param(b"\x21" + bytes(4000) + b"\x07", "invalid_audio", id="too large"),
        pytest.param(b"\xff\xf1\x4c\x80", "invalid_audio", id="half an ADTS header"),
        pytest.param(adts(STEREO_FRAME)[:-1], "invalid_audio", id="an ADTS frame that is cut off"),
        pytest.param(LOAS, "latm", id="LATM"),
    ],
)
def test_an_odd_frame_is_dropped(body: bytes, code: str) -> None:
    stream = Stream("aac").audio(*[STEREO_FRAME] * 60)
    stream.passed.clear()
    stream.audio(body, STEREO_FRAME)
    assert [frame.data for frame in stream.frames] == [STEREO_FRAME]
    assert stream.codes == {code: 1}


def test_a_configuration_as_the_first_frame() -> None:
    stream = Stream("aac", MONO).audio(MONO, MONO_FRAME)
    assert [frame.data for frame in stream.frames] == [MONO_FRAME]


@pytest.mark.parametrize("head", [PCE, FIL])
def test_other_elements_may_come_first(head: bytes) -> None:
    assert Stream("aac").audio(head + STEREO_FRAME[:-1] + b"\x0e").codes == {}


@pytest.mark.parametrize("share", [1, 2, 4])
def test_an_encoder_whose_frames_often_do_not_end_with_end_is_believed(share: int) -> None:
    stream = Stream("aac")
    for _ in range(200):
        stream.audio(STEREO_FRAME + b"\x55").audio(*[STEREO_FRAME] * (share - 1))
    assert stream.codes == {"invalid_audio": 3}


def test_frames_that_are_cut_are_dropped_from_the_beginning() -> None:
    stream = Stream("aac")
    for _ in range(50):
        stream.audio(*[STEREO_FRAME] * 20).audio(STEREO_FRAME[:7])
    assert stream.codes == {"invalid_audio": 50}


@cache
def decoder() -> LibavImport:
    libav = LibavImport()
    assert libav.wait()
    return libav


@cache
def encoded_frames() -> tuple[bytes, list[bytes], list[bytes]]:
    """Return the configuration, 120 frames of noise, and the shorter ones of the silence after it."""
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "fltp"
    encoder.bit_rate, encoder.time_base = 96_000, Fraction(1, 48_000)
    noise = random.Random(7)
    frames = []
    for number in range(240):
        samples = av.AudioFrame("fltp", "stereo", 1024)
        samples.sample_rate = 48_000
        for plane in samples.planes:
            values = (noise.uniform(-0.5, 0.5) if number < 120 else 0.0 for _ in range(1024))
            plane.update(struct.pack("1024f", *values))
        frames += [bytes(packet) for packet in encoder.encode(samples)]
    return (encoder.extradata or b"")[:2], frames[1:120], frames[125:]


def test_a_frame_that_is_cut_and_happens_to_end_with_end_is_dropped() -> None:
    record, loud, _ = encoded_frames()
    cut = [half for frame in loud if (half := frame[: len(frame) // 2])[-1] & 7 == 7]
    stream = Stream("aac", record, decoder()).audio(*loud)
    for half in cut:
        stream.audio(half, *loud[:20])
    assert len(cut) > 5
    assert len(stream.frames) == len(loud) + 20 * len(cut)
    assert stream.codes == {"invalid_audio": len(cut)}


def test_a_frame_with_other_bytes_in_its_middle_is_dropped() -> None:
    record, loud, _ = encoded_frames()
    stream = Stream("aac", record, decoder()).audio(*loud)
    changed = loud[50][:20] + bytes(each ^ 0x5A for each in loud[50][20:-20]) + loud[50][-20:]
    stream.audio(changed, *loud)
    assert len(stream.frames) == 2 * len(loud)
    assert stream.codes == {"invalid_audio": 1}


def test_the_short_frames_of_a_pause_are_passed_on() -> None:
    record, loud, quiet = encoded_frames()
    stream = Stream("aac", record, decoder()).audio(*loud, *quiet, *loud)
    assert max(map(len, quiet)) < 0.5 * min(map(len, loud))
    assert len(stream.frames) == 2 * len(loud) + len(quiet)
    assert stream.codes == {}


def test_adts_headers_are_removed() -> None:
    stream = Stream("aac").audio(adts(STEREO_FRAME), adts(STEREO_FRAME) * 3)
    assert [frame.data for frame in stream.frames] == [STEREO_FRAME] * 4
    times_90k = [frame.dts_90k for frame in stream.frames]
    assert [time_90k - times_90k[1] for time_90k in times_90k[1:]] == [0, 1920, 3840]
    assert stream.codes == {"adts": 4}


def test_adts_headers_give_the_configuration() -> None:
    stream = Stream("aac", b"").audio(STEREO_FRAME, adts(STEREO_FRAME, rate_index=4))
    assert stream.passed[0] == aac.parse_asc(bytes.fromhex("1210"))
    assert len(stream.passed) == 2
    assert stream.codes == {"no_config": 1, "adts": 1}


@pytest.mark.parametrize(("record", "frame", "channels"), [(STEREO, MONO_FRAME, 1), (MONO, STEREO_FRAME, 2)])
def test_a_wrong_number_of_channels_is_corrected(record: bytes, frame: bytes, channels: int) -> None:
    stream = Stream("aac", record).audio(*[frame] * 20)
    configs = [event for event in stream.passed if isinstance(event, AudioConfig)]
    assert [config.channels for config in configs] == [3 - channels, channels]
    assert len(stream.frames) == 16
    assert stream.codes == {"invalid_audio": 4, "channels_wrong": 1}


def test_after_a_wrong_number_of_channels_only_the_frames_tell() -> None:
    stream = Stream("aac", MONO).audio(*[STEREO_FRAME] * 10)
    for record in (STEREO, MONO, STEREO, MONO):
        stream.configure("aac", record).audio(*[STEREO_FRAME] * 10)
    configs = [event.channels for event in stream.passed if isinstance(event, AudioConfig)]
    assert configs == [1, 2]
    assert len(stream.frames) == 46
    assert stream.codes == {"invalid_audio": 4, "channels_wrong": 1}


def test_a_configuration_that_cannot_be_read_is_ignored() -> None:
    assert Stream("aac", b"\x12").codes == {"config_invalid": 1}
    stream = Stream("aac").configure("aac", b"\xff" * 9).audio(STEREO_FRAME)
    assert (len(stream.frames), stream.codes) == (1, {"config_invalid": 1})


def test_opus_packets_get_their_duration() -> None:
    stream = Stream("opus", DOPS).audio(b"\xfc\xff\xfe", b"\x00\x01", b"", b"\x03", b"\x1b\x3f", b"\xfb\x00")
    assert [frame.duration_samples for frame in stream.frames] == [960, 480]
    assert stream.codes == {"empty": 1, "invalid_audio": 3}
    assert Stream("opus", b"").audio(b"\xfc\xff\xfe").codes == {"no_config": 1}
    assert Stream("opus", b"\1").codes == {"config_invalid": 1}


CODECS: list[AudioCodec] = ["aac", "opus"]
FRAMES = st.sampled_from(
    [b"", MONO, STEREO, MONO_FRAME, STEREO_FRAME, LOAS, adts(STEREO_FRAME), adts(MONO_FRAME, layout=1)]
)


@settings(deadline=None)
@given(
    st.sampled_from(CODECS),
    st.one_of(st.sampled_from([b"", MONO, STEREO, DOPS]), st.binary(max_size=20)),
    st.lists(FRAMES | st.binary(max_size=60) | st.tuples(FRAMES, FRAMES, st.binary(max_size=9)).map(b"".join)),
)
def test_any_bytes_end_in_frames_behind_a_configuration(codec: AudioCodec, record: bytes, bodies: list[bytes]) -> None:
    stream = Stream(codec, record)
    stream.audio(*bodies).finish()
    assert all(frame.data for frame in stream.frames)
    assert not stream.frames or isinstance(stream.passed[0], AudioConfig)
    assert isinstance(stream.passed, list)
    assert all(isinstance(event, AudioConfig | Frame) for event in stream.passed)
