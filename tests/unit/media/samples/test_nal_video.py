"""H.264 and HEVC pictures: each kind of odd sample is repaired or dropped, and counted once."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.codecs import avc, hevc
from airnode.media.frames import Frame, VideoCodec, VideoConfig
from airnode.media.samples.nal_syntax import IMMEDIATE_RECOVERY
from tests.support.samples import (
    AUD,
    AVCC,
    HEVC_CRA,
    HEVC_IDR,
    HEVC_PPS,
    HEVC_RASL,
    HEVC_REST,
    HEVC_SPS,
    HEVC_TRAIL,
    HEVC_VPS,
    HVCC,
    IDR,
    IDR_REST,
    INTER,
    INTER_REST,
    INTRA,
    OPEN_GOP,
    OTHER_AVCC,
    OTHER_PPS,
    OTHER_SPS,
    PPS,
    REFRESH,
    SEI,
    SPS,
    STEREO,
    STEREO_FRAME,
    Stream,
    annexb,
    nals_of,
    sized,
)

SPS_WITH_AN_ERROR = b"\x67\x42"


def test_a_clean_stream_is_passed_on_as_it_is() -> None:
    stream = Stream()
    key, inter = sized(SEI, IDR), sized(AUD, INTER, INTER_REST)
    for _ in range(20):
        stream.video(key, is_key=True).video(inter, inter, inter)
    config, *frames = stream.finish().passed
    assert isinstance(config, VideoConfig)
    assert config == avc.parse_avcc(AVCC)
    assert [(frame.data, frame.is_key) for frame in frames if isinstance(frame, Frame)] == (
        [(key, True), (inter, False), (inter, False), (inter, False)] * 20
    )
    assert stream.codes == {}


def test_a_clean_frame_is_not_copied_and_not_held_back() -> None:
    stream = Stream().begin()
    body = sized(INTER)
    assert stream.video(body).frames[0].data is body
    assert len(stream.video(body).frames) == 2


WHOLE = sized(INTER)
ODD_FRAMES = [
    pytest.param(WHOLE + bytes(4), [INTER], "empty_nal", id="empty NAL unit behind"),
    pytest.param(bytes(4) + WHOLE, [INTER], "empty_nal", id="empty NAL unit in front"),
    pytest.param(sized(AUD, b"", b"", INTER), [AUD, INTER], "empty_nal", id="empty NAL units between"),
    pytest.param(WHOLE + bytes(5), [INTER], "empty_nal", id="five zeros"),
    pytest.param(WHOLE + b"\0", [INTER], "stray_bytes", id="one zero"),
    pytest.param(WHOLE + b"\0\0", [INTER], "stray_bytes", id="two zeros"),
    pytest.param(WHOLE + b"\0\0\0", [INTER], "stray_bytes", id="three zeros"),
    pytest.param(WHOLE + b"\xff\x01\x80", [INTER], "stray_bytes", id="three stray bytes"),
    pytest.param(WHOLE + sized(INTER_REST)[:-9], [INTER], "cut_slices", id="the last slice is cut"),
    pytest.param(WHOLE + b"\xffgarbage", [INTER], "cut_slices", id="garbage behind"),
    pytest.param(WHOLE[:30], None, "cut_frame", id="cut in half"),
    pytest.param(b"\0\0\1\0" + INTER, None, "cut_frame", id="a size beyond the frame"),
    pytest.param(b"\0\0", None, "stray_bytes", id="two zeros only"),
    pytest.param(b"", None, "empty", id="nothing"),
    pytest.param(bytes(4), None, "empty_nal", id="an empty NAL unit only"),
    pytest.param(sized(b"\xc1\x9a\x24", INTER), [INTER], "invalid_nal", id="forbidden_zero_bit"),
    pytest.param(sized(b"\x78\0\5", INTER), [INTER], "invalid_nal", id="a packet of RTP"),
    pytest.param(sized(INTER, b"\x41"), [INTER], "invalid_nal", id="a slice without a header"),
    pytest.param(sized(SPS_WITH_AN_ERROR, INTER), [INTER], "invalid_nal", id="an SPS that cannot be read"),
    pytest.param(annexb(AUD, INTER), [AUD, INTER], "annexb", id="start codes of four bytes"),
    pytest.param(annexb(AUD, INTER, code=b"\0\0\1"), [AUD, INTER], "annexb", id="start codes of three bytes"),
    pytest.param(
        annexb(AUD) + annexb(INTER, code=b"\0\0\1"), [AUD, INTER], "annexb", id="start codes of three and four bytes"
    ),
    pytest.param(annexb(INTER, code=b"\0\0\1"), [INTER], "annexb", id="one start code of three bytes"),
    pytest.param(annexb(INTER) + bytes(7), [INTER], "annexb", id="start codes, zeros behind"),
    pytest.param(sized(annexb(AUD, INTER)), [AUD, INTER], "annexb", id="start codes behind one size"),
    pytest.param(sized(AUD + annexb(INTER)), [AUD, INTER], "annexb", id="start codes between, behind one size"),
    pytest.param(sized(AUD) + annexb(INTER), [AUD, INTER], "annexb", id="a size, then start codes"),
    pytest.param(sized(AUD), None, "headers_apart", id="a delimiter only"),
    pytest.param(sized(SEI), None, "headers_apart", id="an SEI only"),
    pytest.param(sized(SPS, PPS), None, "headers_apart", id="parameter sets only"),
    pytest.param(sized(b"\x0c\xff\xff\x80"), None, "no_picture", id="filler only"),
    pytest.param(sized(INTER_REST), None, "picture_part_lost", id="a continuation of a picture that is gone"),
    pytest.param(AVCC, None, "config_as_frame", id="the configuration as a frame"),
]


@pytest.mark.parametrize(("body", "nals", "code"), ODD_FRAMES)
@pytest.mark.parametrize("is_early", [False, True])
def test_an_odd_frame(body: bytes, nals: list[bytes] | None, code: str, is_early: bool) -> None:
    stream = Stream().begin(4 if is_early else 40).video(body)
    assert [nals_of(frame.data) for frame in stream.frames] == ([] if nals is None else [nals])
    assert stream.codes == {code: 1}
    # The stream goes on.
    assert len(stream.video(WHOLE, WHOLE, WHOLE).finish().frames) == (3 if nals is None else 4)


CUT_IDR, CUT_INTER = sized(IDR)[:30], sized(INTER)[:30]
CUT_B = b"\0\0\0\x20\x01\x9e\x24"


@pytest.mark.parametrize(
    ("record", "lost", "dropped"),
    [
        pytest.param(AVCC, CUT_INTER, 0, id="one reference picture"),
        pytest.param(AVCC, CUT_IDR, 3, id="a key frame"),
        pytest.param(OTHER_AVCC, CUT_INTER, 3, id="several reference pictures"),
        pytest.param(OTHER_AVCC, CUT_B, 0, id="not a reference picture"),
        pytest.param(OTHER_AVCC, b"\0\0\1\0\xff", 3, id="nobody knows which"),
    ],
)
def test_what_refers_to_a_lost_picture_is_left_out_up_to_the_next_key_frame(
    record: bytes, lost: bytes, dropped: int
) -> None:
    stream = Stream(record=record).begin().video(lost, WHOLE, WHOLE, WHOLE).video(sized(IDR), is_key=True).video(WHOLE)
    assert [frame.is_key for frame in stream.frames] == [False] * (3 - dropped) + [True, False]
    assert stream.codes == {"cut_frame": 1} | ({"reference_lost": dropped} if dropped else {})


def test_a_lost_picture_does_not_stop_a_stream_without_key_frames() -> None:
    stream = Stream(record=OTHER_AVCC).begin().video(CUT_INTER).video(*[WHOLE] * 100)
    assert len(stream.frames) == 26
    assert stream.codes == {"cut_frame": 1, "reference_lost": 74}


def test_a_frame_of_the_size_of_a_start_code_is_no_annex_b() -> None:
    slice_nal = b"\x41\x9a" + b"x" * 0x10F
    body = sized(slice_nal)
    assert body[:3] == b"\0\0\1"
    assert Stream().begin().video(body).frames[0].data == body
    # In a stream with start codes of three bytes it would be one.
    stream = Stream().begin().video(annexb(INTER, code=b"\0\0\1")).video(annexb(slice_nal, code=b"\0\0\1"))
    assert [nals_of(frame.data) for frame in stream.frames] == [[INTER], [slice_nal]]


@pytest.mark.parametrize(
    ("rest", "code"), [(bytes(4), "empty_nal"), (b"\0", "stray_bytes"), (b"\xff\xff", "stray_bytes")]
)
@pytest.mark.parametrize("size_bytes", [0x141, 0x161, 0x165])
def test_a_size_like_a_start_code_is_a_size_in_odd_frames_too(rest: bytes, code: str, size_bytes: int) -> None:
    # The last byte of the size looks like the header of a slice.
    key, inter = (nal + b"x" * (size_bytes - len(nal)) for nal in (IDR, INTER))
    stream = Stream().video(sized(key) + rest, is_key=True)
    for _ in range(5):
        stream.video(sized(inter) + rest)
    assert [nals_of(frame.data) for frame in stream.finish().frames] == [[key], *[[inter]] * 5]
    assert stream.codes == {code: 6}


def test_a_stream_in_the_annex_b_form() -> None:
    stream = Stream(record=b"")
    for _ in range(20):
        stream.video(annexb(AUD, SPS, PPS, SEI, IDR), is_key=True).video(annexb(AUD, INTER), annexb(AUD, INTER))
    config, *_ = stream.finish().passed
    assert config == avc.parse_avcc(AVCC)
    assert [nals_of(frame.data) for frame in stream.frames[:3]] == (
        [[AUD, SPS, PPS, SEI, IDR], [AUD, INTER], [AUD, INTER]]
    )
    assert len(stream.frames) == 60
    assert stream.codes == {"annexb": 60, "config_in_band": 1}


@pytest.mark.parametrize("size_bytes", [1, 2, 3])
def test_sizes_of_less_than_four_bytes(size_bytes: int) -> None:
    record = AVCC[:4] + bytes((0xFC | size_bytes - 1,)) + AVCC[5:]
    stream = Stream(record=record)
    for _ in range(20):
        stream.video(sized(IDR, size_bytes=size_bytes), is_key=True).video(sized(INTER, size_bytes=size_bytes))
    stream.video(sized(INTER, size_bytes=size_bytes) + b"\0")
    config, *_ = stream.finish().passed
    assert isinstance(config, VideoConfig)
    assert config.record == AVCC
    assert [nals_of(frame.data) for frame in stream.frames] == [[IDR], [INTER]] * 20 + [[INTER]]
    assert set(stream.codes) <= {"length_size", "config_repaired", "empty_nal", "stray_bytes"}


def test_a_record_that_announces_shorter_sizes_than_are_sent() -> None:
    stream = Stream(record=AVCC[:4] + b"\xfc" + AVCC[5:]).begin()
    assert stream.video(sized(INTER)).frames[0].data == sized(INTER)
    assert stream.codes == {"config_repaired": 1}


# ---- pictures in several messages ------------------------------------------------------------------------------------


def test_each_nal_unit_in_a_message_of_its_own() -> None:
    stream = Stream()
    for picture in range(30):
        first, rest = (IDR, IDR_REST) if picture % 10 == 0 else (INTER, INTER_REST)
        stream.video(sized(AUD), is_key=first is IDR)
        for nal in (SEI, first, rest, rest, rest):
            stream.video(sized(nal), is_key=first is IDR, same_time=True)
    frames = stream.finish().frames
    assert [nals_of(frame.data) for frame in frames[:11:10]] == [[SEI, IDR, *[IDR_REST] * 3]] * 2
    assert len(frames) == 30
    assert [index for index, frame in enumerate(frames) if frame.is_key] == [0, 10, 20]
    assert stream.codes == {"headers_apart": 60, "picture_split": 90}


def test_a_first_picture_does_not_wait_for_the_next_one_while_sound_comes() -> None:
    stream = Stream().configure("aac", STEREO).video(sized(IDR), is_key=True)
    stream.audio(STEREO_FRAME)
    assert [frame.track for frame in stream.frames] == ["audio"]
    stream.audio(*[STEREO_FRAME] * 5)
    assert [frame.track for frame in stream.frames].count("video") == 1


def test_a_part_without_its_beginning_is_not_joined_to_another_picture() -> None:
    stream = Stream().begin(1).video(sized(INTER), sized(INTER_REST), sized(INTER)).finish()
    assert [nals_of(frame.data) for frame in stream.frames] == [[INTER]] * 3
    assert stream.codes == {"picture_part_lost": 1}


def test_pictures_are_not_delayed_for_ever_after_one_lost_part() -> None:
    stream = Stream().begin().video(sized(INTER_REST)).video(*[sized(INTER)] * 40)
    assert len(stream.frames) == 40


def test_a_picture_that_is_split_later_costs_one_part() -> None:
    stream = Stream().begin()
    stream.video(sized(INTER)).video(sized(INTER_REST), same_time=True)
    stream.video(sized(INTER)).video(sized(INTER_REST), same_time=True).video(sized(INTER))
    assert [nals_of(frame.data) for frame in stream.frames] == [[INTER], [INTER, INTER_REST]]
    assert stream.codes == {"picture_part_lost": 1, "picture_split": 1}


def test_only_the_first_pictures_wait_for_the_message_behind_them() -> None:
    stream = Stream().video(sized(IDR), is_key=True)
    assert stream.frames == []
    counts = [len(stream.video(WHOLE).frames) for _ in range(5)]
    assert counts == [1, 3, 4, 5, 6]


# ---- key frames ------------------------------------------------------------------------------------------------------


def test_key_frames_that_are_not_marked_are_found() -> None:
    stream = Stream().begin().video(sized(IDR))
    assert [frame.is_key for frame in stream.frames] == [True]
    assert stream.codes == {"key_not_marked": 1}


def test_marks_are_not_believed() -> None:
    stream = Stream().begin().video(sized(INTER), is_key=True)
    assert [frame.is_key for frame in stream.frames] == [False]
    assert stream.codes == {"key_mark_wrong": 1}


@pytest.mark.parametrize("is_key", [True, False])
@pytest.mark.parametrize(
    ("nals", "code"),
    [((OPEN_GOP, INTRA), "open_gop"), ((REFRESH, INTER), "intra_refresh"), ((SEI, OPEN_GOP, INTRA), "open_gop")],
)
def test_recovery_points_are_key_frames(nals: tuple[bytes, ...], code: str, is_key: bool) -> None:
    stream = Stream().begin().video(sized(*nals), is_key=is_key)
    assert [frame.is_key for frame in stream.frames] == [True]
    assert stream.codes == {code: 1}


@pytest.mark.parametrize(
    ("nals", "passed"),
    [
        ((REFRESH, INTER), (IMMEDIATE_RECOVERY, INTER)),
        ((AUD, SEI, REFRESH, INTER, INTER_REST), (AUD, SEI, IMMEDIATE_RECOVERY, INTER, INTER_REST)),
        ((REFRESH[:-1] + SEI[1:], INTER), (REFRESH[:-1] + SEI[1:], IMMEDIATE_RECOVERY, INTER)),
        ((OPEN_GOP, INTRA), (OPEN_GOP, INTRA)),
    ],
)
def test_a_refresh_says_that_decoding_can_begin_at_once(nals: tuple[bytes, ...], passed: tuple[bytes, ...]) -> None:
    stream = Stream().begin().video(sized(*nals))
    assert nals_of(stream.frames[0].data) == list(passed)


def test_an_intra_picture_that_is_marked_is_a_key_frame() -> None:
    stream = Stream().begin().video(sized(INTRA), is_key=True).video(sized(INTRA))
    assert [frame.is_key for frame in stream.frames] == [True, False]
    assert stream.codes == {"open_gop": 1}


def test_pictures_that_are_presented_before_an_open_gop_key_frame_are_dropped() -> None:
    stream = Stream().begin().video(sized(OPEN_GOP, INTRA), cts_ms=120)
    stream.video(WHOLE, cts_ms=0).video(WHOLE, cts_ms=20).video(WHOLE, cts_ms=120).video(WHOLE)
    assert [frame.cts_90k // 90 for frame in stream.frames] == [120, 120, 0]
    assert stream.codes == {"open_gop": 1, "leading_pictures": 2}


# ---- HEVC ------------------------------------------------------------------------------------------------------------


def test_hevc() -> None:
    stream = Stream("hevc").video(sized(HEVC_IDR), is_key=True).video(*[sized(HEVC_TRAIL)] * 40)
    assert stream.passed[0] == hevc.parse_hvcc(HVCC)
    stream.passed.clear()
    stream.video(sized(HEVC_TRAIL) + bytes(4), annexb(HEVC_TRAIL), sized(HEVC_TRAIL)[:-1], HVCC, sized(HEVC_CRA))
    assert [(nals_of(frame.data), frame.is_key) for frame in stream.frames] == (
        [([HEVC_TRAIL], False), ([HEVC_TRAIL], False), ([HEVC_CRA], True)]
    )
    assert stream.codes == {"empty_nal": 1, "annexb": 1, "cut_frame": 1, "config_as_frame": 1, "key_not_marked": 1}


def test_hevc_in_several_messages_without_a_record() -> None:
    stream = Stream("hevc", b"")
    for nal in (HEVC_VPS, HEVC_SPS, HEVC_PPS, HEVC_IDR, HEVC_REST):
        stream.video(sized(nal), is_key=nal is HEVC_IDR, same_time=True)
    stream.video(sized(HEVC_TRAIL)).video(sized(HEVC_REST), same_time=True).finish()
    assert stream.passed[0] == hevc.parse_hvcc(HVCC)
    assert [nals_of(frame.data) for frame in stream.frames] == (
        [[HEVC_VPS, HEVC_SPS, HEVC_PPS, HEVC_IDR, HEVC_REST], [HEVC_TRAIL, HEVC_REST]]
    )


def test_an_hvcc_of_a_draft_is_written_anew() -> None:
    stream = Stream("hevc", b"\0" + HVCC[1:])
    assert stream.passed == [hevc.parse_hvcc(HVCC)]
    assert stream.codes == {"config_repaired": 1}


def test_pictures_before_the_first_cra_in_time_are_dropped() -> None:
    stream = Stream("hevc").video(sized(HEVC_CRA), is_key=True)
    stream.video(sized(HEVC_RASL), sized(HEVC_TRAIL)).video(sized(HEVC_CRA), is_key=True).video(sized(HEVC_RASL))
    assert [nals_of(frame.data) for frame in stream.finish().frames] == (
        [[HEVC_CRA], [HEVC_TRAIL], [HEVC_CRA], [HEVC_RASL]]
    )
    assert stream.codes == {"leading_pictures": 1}


# ---- anything --------------------------------------------------------------------------------------------------------

AVC_NALS = [AUD, SEI, SPS, PPS, IDR, IDR_REST, INTER, INTER_REST, INTRA, OPEN_GOP, REFRESH, OTHER_SPS, OTHER_PPS]
HEVC_NALS = [HEVC_VPS, HEVC_SPS, HEVC_PPS, HEVC_IDR, HEVC_CRA, HEVC_RASL, HEVC_TRAIL, HEVC_REST]
NALS = st.sampled_from([b"", *AVC_NALS, *HEVC_NALS, AVCC, HVCC])
BODIES = st.one_of(
    st.binary(max_size=200),
    st.lists(NALS | st.binary(max_size=40), max_size=6).map(lambda nals: sized(*nals)),
    st.lists(NALS | st.binary(max_size=40), max_size=6).map(lambda nals: annexb(*nals)),
    st.tuples(st.lists(NALS, max_size=4).map(lambda nals: sized(*nals)), st.integers(0, 90), st.binary(max_size=9)).map(
        lambda parts: parts[0][: parts[1]] + parts[2]
    ),
    NALS,
)


CODECS: list[VideoCodec] = ["avc", "hevc"]


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(CODECS),
    st.one_of(st.none(), st.binary(max_size=80), st.sampled_from([b"", AVCC, HVCC])),
    st.lists(st.tuples(BODIES, st.booleans()), max_size=40),
)
def test_any_bytes_become_well_formed_frames(
    codec: str, record: bytes | None, bodies: list[tuple[bytes, bool]]
) -> None:
    stream = Stream("avc" if codec == "avc" else "hevc", record)
    for body, is_key in bodies:
        stream.video(body, is_key=is_key)
        if len(body) % 7 == 0:
            stream.configure(codec, body)
    stream.finish()
    for frame in stream.frames:
        assert nals_of(frame.data)
    if stream.frames:
        assert isinstance(stream.passed[0], VideoConfig)


@pytest.mark.parametrize("form", [sized, annexb])
def test_the_units_of_a_frame_are_limited(form: Callable[..., bytes]) -> None:
    stream = Stream().video(sized(IDR), is_key=True).video(form(INTER, *[AUD] * 300_000)).finish()
    assert stream.codes["too_many_units"] == 1
    nals = nals_of(stream.frames[-1].data)
    assert nals[0] == INTER
    assert 4095 <= len(nals) <= 4096
