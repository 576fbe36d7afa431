"""AV1 temporal units: each kind of odd sample is repaired or dropped, and counted once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.codecs import av1
from airnode.media.frames import VideoConfig
from tests.support.samples import AV1C, Stream

DELIMITER = b"\x12\x00"
SEQUENCE = AV1C[4:]
OTHER_SEQUENCE = bytes.fromhex("0a0b00000042abbfc3700be001")
#: Frame OBUs with a size: a key frame, another frame, a frame that is shown again.
KEY, INTER, AGAIN = b"\x32\x04\x10abc", b"\x32\x04\x30abc", b"\x1a\x01\x80"


def test_units_are_passed_on_without_their_delimiters() -> None:
    stream = Stream("av1").video(DELIMITER + SEQUENCE + KEY, is_key=True).video(DELIMITER + INTER, INTER, AGAIN)
    assert stream.passed[0] == av1.parse_av1c(AV1C)
    assert [frame.data for frame in stream.frames] == [SEQUENCE + KEY, INTER, INTER, AGAIN]
    assert [frame.is_key for frame in stream.frames] == [True, False, False, False]
    assert stream.codes == {}


@pytest.mark.parametrize(
    ("body", "passed", "code"),
    [
        (INTER + b"\0\0", INTER, "stray_bytes"),
        (b"", None, "empty"),
        (DELIMITER, None, "no_picture"),
        (SEQUENCE, None, "no_picture"),
        (INTER[:-1], None, "cut_frame"),
        (b"\0\0\0\6" + INTER, None, "cut_frame"),
        (b"\xff" + INTER, None, "cut_frame"),
        (KEY, KEY, "key_not_marked"),
    ],
)
def test_an_odd_unit(body: bytes, passed: bytes | None, code: str) -> None:
    stream = Stream("av1").video(SEQUENCE + KEY, is_key=True).video(body, INTER)
    assert [frame.data for frame in stream.frames[1:-1]] == ([] if passed is None else [passed])
    # Decoders stop at frames that refer to a lost one.
    assert stream.codes == {code: 1, **({"reference_lost": 1} if code == "cut_frame" else {})}
    assert stream.video(SEQUENCE + KEY, is_key=True).video(INTER).frames[-1].data == INTER


def test_marks_are_not_believed() -> None:
    stream = Stream("av1").video(SEQUENCE + KEY, is_key=True).video(INTER, is_key=True)
    assert [frame.is_key for frame in stream.frames] == [True, False]
    assert stream.codes == {"key_mark_wrong": 1}


def test_a_sequence_header_that_comes_with_the_key_frame() -> None:
    stream = Stream("av1", AV1C[:4]).video(INTER).video(KEY, is_key=True).video(DELIMITER + SEQUENCE + KEY, is_key=True)
    assert stream.passed[0] == av1.parse_av1c(AV1C)
    assert [frame.data for frame in stream.frames] == [SEQUENCE + KEY]
    assert stream.codes == {"no_config": 2}


def test_a_change_of_size_is_noticed_in_key_frames() -> None:
    stream = Stream("av1").video(SEQUENCE + KEY, is_key=True).video(OTHER_SEQUENCE + KEY, is_key=True)
    stream.video(OTHER_SEQUENCE + KEY, is_key=True)
    configs = [event for event in stream.passed if isinstance(event, VideoConfig)]
    assert [(config.width, config.height) for config in configs] == [(640, 360), (1920, 1080)]


def test_without_a_readable_record_nothing_is_passed_on() -> None:
    assert Stream("av1", b"").video(INTER).video(KEY, is_key=True).codes == {"no_config": 2}
    assert Stream("av1", b"\x81\1").codes == {"config_invalid": 1}


def test_without_a_record_it_is_made_from_the_sequence_header() -> None:
    stream = Stream("av1", b"").video(SEQUENCE + KEY, is_key=True).video(SEQUENCE + KEY, is_key=True)
    assert stream.passed[0] == av1.parse_av1c(AV1C)
    assert len(stream.frames) == 2
    stream.video(OTHER_SEQUENCE + KEY, is_key=True)
    assert stream.passed[-2] == av1.parse_av1c(bytes.fromhex("81080c00") + OTHER_SEQUENCE)
    assert stream.codes == {"config_in_band": 2}


def test_the_units_of_a_frame_are_limited() -> None:
    stream = Stream("av1").video(SEQUENCE + KEY, is_key=True).video(INTER + b"\x7a\x01\x80" * 200_000)
    assert len(stream.frames[-1].data) == len(INTER) + 3 * 1023
    assert stream.codes == {"too_many_units": 1}


OBUS = st.sampled_from([b"", DELIMITER, SEQUENCE, OTHER_SEQUENCE, KEY, INTER, AGAIN, b"\0"]) | st.binary(max_size=20)


@settings(deadline=None)
@given(
    st.one_of(st.sampled_from([b"", AV1C, AV1C[:4]]), st.binary(max_size=30)),
    st.lists(st.tuples(st.lists(OBUS, max_size=5).map(b"".join), st.booleans()), max_size=20),
)
def test_any_bytes_end_in_frames_behind_a_configuration(record: bytes, bodies: list[tuple[bytes, bool]]) -> None:
    stream = Stream("av1", record)
    for body, is_key in bodies:
        stream.video(body, is_key=is_key)
    assert all(frame.data for frame in stream.frames)
    assert not stream.frames or isinstance(stream.passed[0], VideoConfig)
