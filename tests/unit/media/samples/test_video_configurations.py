"""Configurations of H.264: odd, missing, repeated and changing ones."""

import pytest

from airnode.media.codecs import avc
from airnode.media.frames import Frame, VideoConfig
from tests.support.samples import (
    AVCC,
    IDR,
    INTER,
    OTHER_AVCC,
    OTHER_PPS,
    OTHER_SPS,
    PPS,
    SEI,
    SPS,
    Stream,
    annexb,
    nals_of,
    sized,
)

WHOLE = sized(INTER)

SPS_AT, PPS_AT = 8, 8 + len(SPS) + 1
ODD_RECORDS = [
    pytest.param(AVCC[:1] + bytes(3) + AVCC[4:], id="zero profile"),
    pytest.param(AVCC[:1] + b"\x64\x00\x1f" + AVCC[4:], id="wrong profile"),
    pytest.param(AVCC[:4] + b"\x03\x01" + AVCC[6:], id="reserved bits are not set"),
    pytest.param(AVCC[:5] + b"\xe2" + (AVCC[6 : SPS_AT + len(SPS)]) * 2 + AVCC[PPS_AT - 1 :], id="the SPS twice"),
    pytest.param(AVCC[:7] + b"\x1b" + SPS + b"\0\0" + AVCC[PPS_AT - 1 :], id="zeros behind the SPS"),
]


@pytest.mark.parametrize("record", ODD_RECORDS)
def test_an_odd_record_is_written_anew(record: bytes) -> None:
    stream = Stream(record=record)
    (config,) = stream.passed
    assert config == avc.parse_avcc(AVCC)
    assert stream.codes.keys() <= {"config_repaired"}
    assert stream.begin().codes.keys() <= {"config_repaired"}


def test_a_record_without_pps_waits_for_the_one_in_the_frames() -> None:
    stream = Stream(record=AVCC[: SPS_AT + len(SPS)] + b"\0")
    assert stream.passed == []
    stream.video(sized(INTER)).video(sized(PPS, IDR), is_key=True)
    assert stream.finish().passed[0] == avc.parse_avcc(AVCC)
    assert [nals_of(frame.data) for frame in stream.frames] == [[PPS, IDR]]
    assert stream.codes == {"no_config": 1}


@pytest.mark.parametrize("record", [b"\x01", b"\x01\x42\xc0\x1e\xff\xe1\x00\x19\x67", b"\x01" + b"\xff" * 30])
def test_a_record_that_cannot_be_read_is_ignored(record: bytes) -> None:
    assert Stream(record=record).codes == {"config_invalid": 1}
    stream = Stream().begin().configure("avc", record).video(WHOLE)
    assert stream.codes == {"config_invalid": 1}
    assert len(stream.passed) == 1


def test_frames_without_any_configuration_are_dropped() -> None:
    stream = Stream(record=b"").video(sized(IDR), is_key=True).video(WHOLE)
    assert stream.finish().passed == []
    assert stream.codes == {"no_config": 2}


def test_a_repeated_record_changes_nothing() -> None:
    stream = Stream().begin().configure("avc", AVCC).video(sized(SPS, PPS, IDR), is_key=True).configure("avc", AVCC)
    assert [type(event) for event in stream.passed] == [Frame]


def test_a_change_of_size_is_noticed_in_the_parameter_sets_of_a_key_frame() -> None:
    stream = Stream().begin().video(sized(OTHER_SPS, OTHER_PPS, IDR), is_key=True).video(WHOLE)
    config, frame, _ = stream.passed
    assert isinstance(config, VideoConfig)
    assert isinstance(frame, Frame)
    assert (config.width, config.height, config.codecs) == (854, 480, "avc1.4d401e")
    assert nals_of(frame.data) == [OTHER_SPS, OTHER_PPS, IDR]
    # The old record comes again, as it does with every key frame: the frames are right.
    stream.passed.clear()
    stream.configure("avc", AVCC).video(sized(OTHER_SPS, OTHER_PPS, IDR), is_key=True)
    assert [type(event) for event in stream.passed] == [Frame]
    assert stream.codes == {}


def test_parameter_sets_in_a_message_of_their_own_belong_to_the_next_picture() -> None:
    stream = Stream().begin().video(sized(OTHER_SPS, OTHER_PPS), sized(SEI)).video(sized(IDR), is_key=True)
    config, frame = stream.passed
    assert isinstance(config, VideoConfig)
    assert isinstance(frame, Frame)
    assert config.width == 854
    assert nals_of(frame.data) == [OTHER_SPS, OTHER_PPS, SEI, IDR]
    assert stream.codes == {"headers_apart": 2}


def test_headers_without_pictures_are_bounded() -> None:
    stream = Stream().begin().video(*[sized(SEI + b"x" * 4000)] * 100).video(sized(IDR), is_key=True)
    (frame,) = stream.frames
    assert len(frame.data) < 80_000


def with_level(record: bytes, level: int) -> bytes:
    """Return the record with another level in its head and in its SPS."""
    return record[:3] + bytes([level]) + record[4:11] + bytes([level]) + record[12:]


def test_start_codes_instead_of_a_record_are_read() -> None:
    stream = Stream(record=annexb(SPS, PPS))
    assert stream.passed == [avc.parse_avcc(AVCC)]
    assert stream.begin().codes == {"config_repaired": 1}


def test_a_change_of_the_level_alone_is_no_new_configuration() -> None:
    stream = Stream().begin()
    for level in (0x29, 0x1E, 0x28, 0x1E):
        stream.configure("avc", with_level(AVCC, level)).video(sized(IDR), is_key=True).video(WHOLE)
    assert [type(event) for event in stream.passed] == [Frame] * 8


def test_records_that_change_all_the_time_stay_in_the_frames() -> None:
    stream = Stream().begin()
    records = [AVCC[:-1] + bytes((AVCC[-1] & 0xF0 | index % 2 << 3 | 4,)) for index in range(40)]
    for record in records:
        stream.configure("avc", record).video(sized(IDR), is_key=True).video(WHOLE)
    assert sum(isinstance(event, VideoConfig) for event in stream.passed) == 4
    assert nals_of(stream.frames[-2].data) == [SPS, records[-1][-len(PPS) :], IDR]
    # A change of the size is always a new one.
    stream.passed.clear()
    stream.configure("avc", OTHER_AVCC).video(sized(IDR), is_key=True)
    assert [type(event) for event in stream.passed] == [VideoConfig, Frame]


def test_picture_parameter_sets_that_change_all_the_time_do_not_cut_the_stream_each_time() -> None:
    stream = Stream().begin()
    for index in range(40):
        pps = PPS[:-1] + bytes((PPS[-1] & 0xF0 | index % 2 << 3 | 4,))
        stream.video(sized(pps, IDR), is_key=True).video(WHOLE)
    assert sum(isinstance(event, VideoConfig) for event in stream.passed) <= 4
    assert len(stream.frames) == 80
