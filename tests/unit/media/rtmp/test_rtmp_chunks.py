"""The chunk stream: vectors of the specification, all header formats, limits, hostile bytes."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.rtmp.chunks import ChunkDecoder, ChunkEncoder, ChunkLimits, Message, TimestampUnwrapper, basic_header
from airnode.media.rtmp.errors import ProtocolViolation
from tests.support.rtmp import chunk

SMALL = ChunkLimits(
    max_message_bytes=10_000, max_chunk_size_bytes=65_536, max_chunk_streams=8, max_buffered_bytes=20_000
)


def decode(data: bytes, limits: ChunkLimits = SMALL, step: int | None = None) -> list[Message]:
    decoder, messages = ChunkDecoder(limits), []
    for at in range(0, len(data), step or len(data) or 1):
        decoder.feed(data[at : at + (step or len(data))])
        while (message := decoder.next_message()) is not None:
            messages.append(message)
    return messages


def reason(data: bytes, limits: ChunkLimits = SMALL) -> str:
    with pytest.raises(ProtocolViolation) as caught:
        decode(data, limits)
    return caught.value.reason


def test_example_1_of_the_specification() -> None:
    # Section 5.3.2.1: four audio messages of 32 bytes, 20 ms apart, with headers of format 0, 2, 3, 3.
    body = [bytes([index]) * 32 for index in range(4)]
    data = (
        bytes.fromhex("03 0003e8 000020 08 39300000")
        + body[0]
        + bytes.fromhex("83 000014")
        + body[1]
        + bytes.fromhex("c3")
        + body[2]
        + bytes.fromhex("c3")
        + body[3]
    )
    expected = [Message(8, 12345, 1000 + 20 * index, body[index]) for index in range(4)]
    assert decode(data) == expected
    assert decode(data, step=1) == expected


def test_example_2_of_the_specification() -> None:
    # Section 5.3.2.2: a video message of 307 bytes in chunks of 128, 128 and 51.
    body = bytes(range(256)) + bytes(51)
    data = bytes.fromhex("04 0003e8 000133 09 3a300000") + body[:128] + b"\xc4" + body[128:256] + b"\xc4" + body[256:]
    assert decode(data) == [Message(9, 12346, 1000, body)]
    assert decode(data, step=7) == [Message(9, 12346, 1000, body)]


def test_a_message_of_format_3_after_format_0_moves_by_the_timestamp() -> None:
    # Section 5.3.1.2.4; FFmpeg uses it.
    data = bytes.fromhex("03 000064 000001 08 01000000 61 c3 62 c3 63")
    assert [message.timestamp_ms for message in decode(data)] == [100, 200, 300]


def test_format_1_keeps_the_stream() -> None:
    data = bytes.fromhex("03 000064 000001 08 07000000 61") + bytes.fromhex("43 00000a 000002 09 6263")
    assert decode(data) == [Message(8, 7, 100, b"a"), Message(9, 7, 110, b"bc")]


@pytest.mark.parametrize("csid", [2, 3, 63, 64, 319, 320, 1000, 65599])
def test_chunk_stream_ids(csid: int) -> None:
    message = Message(9, 1, 5, bytes(300))
    data = ChunkEncoder(100).encode(csid, message)
    set_size = chunk(1, (100).to_bytes(4, "big"), csid=2)
    assert decode(set_size + data) == [message]
    assert decode(set_size + data, step=1) == [message]
    # Two chunk streams are not confused.
    other = Message(8, 1, 6, b"x")
    assert decode(set_size + data[:-1] + ChunkEncoder().encode(3 if csid != 3 else 4, other))[:1] != [message]


def test_basic_header_vectors() -> None:
    # Section 5.3.1.1: 64..319 in two bytes, up to 65599 in three, the low byte first.
    assert basic_header(0, 63) == b"\x3f"
    assert basic_header(1, 64) == b"\x40\x00"
    assert basic_header(2, 319) == b"\x80\xff"
    assert basic_header(3, 320) == b"\xc1\x00\x01"
    assert basic_header(0, 65599) == b"\x01\xff\xff"
    for csid in (1, 65600):
        with pytest.raises(ValueError, match=r"2\.\.65599"):
            basic_header(0, csid)


def test_interleaved_messages() -> None:
    audio, video = bytes([1]) * 200, bytes([2]) * 300
    first, second = chunk(8, audio, csid=4), chunk(9, video, csid=6)
    data = first[:140] + second[:140] + second[140:269] + first[140:] + second[269:]
    assert decode(data) == [Message(8, 0, 0, audio), Message(9, 0, 0, video)]


@pytest.mark.parametrize("in_continuations", [True, False])
@pytest.mark.parametrize("timestamp", [0xFFFFFE, 0xFFFFFF, 0x1000000, 0xFFFFFFFF])
def test_extended_timestamps(timestamp: int, in_continuations: bool) -> None:
    body = bytes(range(256)) * 2
    data = chunk(9, body, timestamp_ms=timestamp, csid=6, extended_in_continuations=in_continuations)
    assert decode(data) == [Message(9, 0, timestamp, body)]
    assert decode(data, step=3) == [Message(9, 0, timestamp, body)]
    if in_continuations:
        assert ChunkEncoder().encode(6, Message(9, 0, timestamp, body)) == data


def test_extended_delta_of_formats_1_2_and_3() -> None:
    data = (
        bytes.fromhex("03 000001 000001 08 01000000 61")
        + bytes.fromhex("83 ffffff 01000000 62")
        + bytes.fromhex("c3 01000000 63")
        + bytes.fromhex("43 ffffff 000001 08 ff000000 64")
    )
    assert [message.timestamp_ms for message in decode(data)] == [1, 0x1000001, 0x2000001, 0x1000001]


def test_set_chunk_size_and_abort() -> None:
    body = bytes(200)
    data = chunk(1, (1000).to_bytes(4, "big"), csid=2) + chunk(9, body, chunk_size_bytes=1000)
    assert decode(data) == [Message(9, 0, 0, body)]
    started = chunk(9, body, csid=5)[:140]
    abort = chunk(2, (5).to_bytes(4, "big"), csid=2)
    assert decode(started + abort + chunk(8, b"new", csid=5)) == [Message(8, 0, 0, b"new")]
    unknown = chunk(2, (77).to_bytes(4, "big"), csid=2)
    assert decode(unknown + chunk(8, b"new", csid=5)) == [Message(8, 0, 0, b"new")]


def test_chunk_size_can_change_within_a_message() -> None:
    body = bytes(range(250))
    data = chunk(9, body, csid=5)[:140] + chunk(1, (30).to_bytes(4, "big"), csid=2)
    rest = body[128:]
    data += b"".join(b"\xc5" + rest[at : at + 30] for at in range(0, len(rest), 30))
    assert decode(data) == [Message(9, 0, 0, body)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bytes.fromhex("06 000000 ffffff 09 01000000"), "message_size"),
        (chunk(1, (100_000_000).to_bytes(4, "big"), csid=2), "chunk_size"),
        (b"\x83\0\0\0", "chunk_format"),
        (b"\xc3", "chunk_format"),
        (b"".join(chunk(8, bytes(200), csid=csid)[:140] for csid in range(3, 12)), "chunk_streams"),
    ],
)
def test_limits(data: bytes, expected: str) -> None:
    assert reason(data) == expected


@pytest.mark.parametrize("size", [0x7FFFFFFF, 134_217_728, 0x80000000 | 60_000, 100_000])
def test_a_huge_chunk_size_holds_no_more_memory(size: int) -> None:
    limits = ChunkLimits(max_message_bytes=100_000, max_buffered_bytes=150_000)
    body = bytes(90_000)
    data = chunk(1, size.to_bytes(4, "big"), csid=2)
    data += chunk(9, body, csid=5, chunk_size_bytes=size & 0x7FFFFFFF)
    assert decode(data, limits) == [Message(9, 0, 0, body)]
    assert decode(data, limits, step=5_000) == [Message(9, 0, 0, body)]
    assert reason(data + chunk(9, bytes(100_001), csid=5, chunk_size_bytes=size), limits) == "message_size"


def skipped(decoder: ChunkDecoder) -> list[str]:
    return [name for name, _ in decoder.skipped]


@pytest.mark.parametrize("payload", [b"", b"\0\0", bytes(4), b"\x80\0\0\0"])
def test_a_chunk_size_without_a_meaning_is_not_used(payload: bytes) -> None:
    decoder = ChunkDecoder(SMALL)
    decoder.feed(chunk(1, payload, csid=2) + chunk(9, bytes(200), csid=5))
    assert decoder.next_message() == Message(9, 0, 0, bytes(200))
    assert (decoder.chunk_size_bytes, skipped(decoder)) == (128, ["chunk_size"])


@pytest.mark.parametrize("header", ["05 000021 000001 08 01000000", "45 000021 000001 08"])
def test_a_message_left_incomplete_is_dropped(header: str) -> None:
    decoder = ChunkDecoder(SMALL)
    decoder.feed(chunk(9, bytes(200), csid=5, stream_id=1)[:140] + bytes.fromhex(header) + b"a")
    assert decoder.next_message() == Message(8, 1, 0x21, b"a")
    assert skipped(decoder) == ["chunk_interrupted"]
    assert decoder.buffered_bytes == 0


def test_a_message_left_incomplete_is_dropped_for_one_of_the_same_length() -> None:
    decoder = ChunkDecoder(SMALL)
    body = bytes(range(200))
    decoder.feed(chunk(9, bytes(200), csid=5)[:140] + b"\x85\0\0\x21" + body[:128] + b"\xc5" + body[128:])
    assert decoder.next_message() == Message(9, 0, 0x21, body)
    assert skipped(decoder) == ["chunk_interrupted"]


def test_chunk_streams_that_are_used_once() -> None:
    data = b"".join(chunk(8, bytes([csid]), csid=csid) for csid in range(3, 60))
    assert [message.payload[0] for message in decode(data)] == list(range(3, 60))
    # The chunk stream of control messages is not forgotten.
    control = chunk(4, b"x" * 6, csid=2)
    assert decode(control + data + b"\xc2" + b"x" * 6)[-1].type_id == 4


def test_a_data_message_that_is_too_long_is_skipped() -> None:
    decoder = ChunkDecoder(SMALL)
    data = chunk(18, bytes(SMALL.max_message_bytes + 1), csid=5)
    # Another message comes between its chunks.
    for piece in (data[:140], chunk(8, b"a", csid=4), data[140:], chunk(8, b"b", csid=4)):
        decoder.feed(piece)
        message = decoder.next_message()
        assert decoder.buffered_bytes == 0
        assert (message is not None) == (len(piece) < 20)
    assert skipped(decoder) == ["message_size"]
    # It can be given up like any other.
    decoder.feed(data[:140] + chunk(2, (5).to_bytes(4, "big"), csid=2) + chunk(8, b"new", csid=5))
    assert decoder.next_message() == Message(8, 0, 0, b"new")


def test_incomplete_messages_are_bounded_together() -> None:
    limits = ChunkLimits(max_message_bytes=10_000, max_chunk_streams=64, max_buffered_bytes=15_000)
    size = chunk(1, (9_000).to_bytes(4, "big"), csid=2)
    halves = [chunk(9, bytes(9_500), csid=csid, chunk_size_bytes=9_000)[:9_012] for csid in (5, 6)]
    assert reason(size + b"".join(halves), limits) == "buffered_bytes"


def test_ten_thousand_tiny_chunks() -> None:
    limits = ChunkLimits(max_message_bytes=100_000)
    body = bytes(10_000)
    data = chunk(1, (1).to_bytes(4, "big"), csid=2) + chunk(9, body, csid=5, chunk_size_bytes=1)
    started_s = time.process_time()
    assert decode(data, limits, step=1) == [Message(9, 0, 0, body)]
    assert decode(data, limits) == [Message(9, 0, 0, body)]
    assert time.process_time() - started_s < 5  # it takes 0.03 s; a quadratic algorithm would take minutes


def test_a_big_message_is_not_held_twice() -> None:
    decoder = ChunkDecoder(ChunkLimits())
    data = chunk(9, bytes(4_000_000), csid=5)
    for at in range(0, len(data), 65_536):
        decoder.feed(data[at : at + 65_536])
        message = decoder.next_message()
        assert decoder.buffered_bytes <= 4_000_000 + 20
    assert message is not None
    assert decoder.buffered_bytes == 0


_MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([2, 3, 64, 400]),
        st.builds(
            Message,
            st.integers(3, 255),
            st.integers(0, 0xFFFFFFFF),
            st.integers(0, 0xFFFFFFFF),
            st.binary(max_size=600),
        ),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(_MESSAGES, st.integers(1, 700), st.integers(1, 700))
def test_round_trip(sent: list[tuple[int, Message]], chunk_size: int, step: int) -> None:
    encoder = ChunkEncoder()
    data = encoder.encode(2, Message(1, 0, 0, chunk_size.to_bytes(4, "big")))
    encoder.chunk_size_bytes = chunk_size
    data += b"".join(encoder.encode(csid, message) for csid, message in sent)
    assert decode(data, step=step) == [message for _, message in sent]


@settings(deadline=None)
@given(st.binary(max_size=2000), st.integers(1, 50))
def test_any_bytes_end_in_messages_or_a_violation(data: bytes, step: int) -> None:
    decoder, reason = ChunkDecoder(SMALL), ""
    try:
        for at in range(0, len(data), step):
            decoder.feed(data[at : at + step])
            while decoder.next_message() is not None:
                pass
            assert decoder.buffered_bytes <= SMALL.max_buffered_bytes + step + 18
    except ProtocolViolation as violation:
        reason = violation.reason
    assert reason in {
        "",
        "message_size",
        "chunk_size",
        "control_message",
        "chunk_format",
        "chunk_interrupted",
        "chunk_streams",
    }


def test_timestamps_are_unwrapped() -> None:
    unwrapper = TimestampUnwrapper()
    steps = [0xFFFFFFF0, 0xFFFFFFFA, 4, 2, 0xFFFFFFFE, 10, 3_600_010, 10]
    turn = 1 << 32
    assert [unwrapper.unwrap(step) for step in steps] == [
        0xFFFFFFF0,
        0xFFFFFFFA,
        turn + 4,
        turn + 2,
        0xFFFFFFFE,
        turn + 10,
        turn + 3_600_010,
        turn + 10,
    ]


@settings(deadline=None)
@given(st.lists(st.integers(-(1 << 31) + 1, (1 << 31) - 1), max_size=50), st.integers(0, 0xFFFFFFFF))
def test_any_steps_are_unwrapped(steps: list[int], start: int) -> None:
    unwrapper, at_ms = TimestampUnwrapper(), start
    assert unwrapper.unwrap(start) == start
    for step in steps:
        at_ms += step
        assert unwrapper.unwrap(at_ms & 0xFFFFFFFF) == at_ms
