"""The browser publisher's protocol without I/O: framing, order, limits, and bytes that make no sense."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.config.sections.browser import BrowserSection
from airnode.errors import AirnodeError
from airnode.media.browser import framing
from airnode.media.browser.errors import FramingViolation, MessageTooLarge, TooFast, TooSlow, close_code
from airnode.media.browser.framing import CODECS, Publish, Stop, parse_binary, parse_text
from airnode.media.browser.session import RATE_WINDOW_S, BrowserSession
from airnode.media.frames import CodecRecord, Frame
from tests.support.browser_publisher import audio, config, video

HELLO = json.dumps({"type": "publish", "key": "k" * 32})


def session(**fields: object) -> BrowserSession:
    return BrowserSession(BrowserSection.model_validate(fields), 0.0)


def publishing(**fields: object) -> BrowserSession:
    made = session(**fields)
    made.receive_text(HELLO, 0.0)
    made.accept(0.0)
    return made


def test_a_publish_and_its_media():
    made = session()
    hello = made.receive_text(json.dumps({"type": "publish", "key": "abc", "encoder": "Chromium 156"}), 0.0)
    assert hello == Publish(key="abc", encoder="Chromium 156")
    assert "abc" not in repr(hello)
    made.accept(0.1)
    assert made.receive_binary(config("avc", b"\1\2\3"), 0.2, 50.0) == CodecRecord("avc", b"\1\2\3")
    assert made.receive_binary(video(1_000_000, b"key", key=True), 0.2, 50.0) == Frame(
        "video", 90_000, 0, b"key", True, 50.0
    )
    assert made.receive_binary(video(1_033_333, b"inter"), 0.2, 50.1) == Frame(
        "video", 92_999, 0, b"inter", False, 50.1
    )
    assert made.receive_binary(audio(1_000_000, b"aac"), 0.3, 50.2) == Frame("audio", 90_000, 0, b"aac", True, 50.2)
    assert made.receive_text('{"type": "stop"}', 0.4) == Stop()


@pytest.mark.parametrize("number", sorted(CODECS))
def test_every_codec_has_a_number(number: int):
    assert parse_binary(bytes((1, number)) + b"record", 0.0) == CodecRecord(CODECS[number], b"record")


def test_order_is_kept():
    made = session()
    with pytest.raises(FramingViolation, match="before"):
        made.receive_binary(video(0, b"x"), 0.0, 0.0)
    with pytest.raises(FramingViolation, match="Publish first"):
        session().receive_text('{"type": "stop"}', 0.0)
    made = session()
    made.receive_text(HELLO, 0.0)
    with pytest.raises(FramingViolation, match="once"):
        made.receive_text(HELLO, 0.0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "kind"),
        (b"\x09rest", "kind"),
        (b"\x01", "cut"),
        (b"\x01\xff", "codec"),
        (b"\x02\x01\0\0\0\0\0\0", "cut"),
        (b"\x02\x01\0", "cut"),
        (b"\x02\x02" + bytes(7), "flags"),
        (b"\x03\x01" + bytes(7), "flags"),
    ],
)
def test_malformed_messages_have_a_reason(data: bytes, reason: str):
    with pytest.raises(FramingViolation) as raised:
        publishing().receive_binary(data, 0.0, 0.0)
    assert raised.value.reason == reason
    assert raised.value.detail.endswith(".")
    assert close_code(raised.value) == 4400


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        '{"type": "other"}',
        '{"key": "x"}',
        '{"type": "publish", "key": 1}',
        "�",
        "[" * 2000,
        '{"type": "publish", "key": "' + "k" * 300 + '"}',
    ],
)
def test_malformed_texts_never_show_their_content(text: str):
    with pytest.raises(FramingViolation) as raised:
        parse_text(text)
    assert "kkk" not in str(raised.value)


def test_long_texts_and_configurations_are_refused():
    with pytest.raises(MessageTooLarge):
        parse_text(" " * 5000)
    with pytest.raises(MessageTooLarge):
        parse_binary(config("avc", bytes(framing.MAX_RECORD_BYTES + 1)), 0.0)


def test_rates_are_limited_and_a_burst_is_not():
    made = publishing(max_messages_per_s=50)
    most = int(50 * RATE_WINDOW_S) - 1  # the publish was one
    for index in range(most):
        made.receive_binary(video(index * 1000, b"x"), 0.0, 0.0)
    with pytest.raises(TooFast, match=r"browser\.max_messages_per_s"):
        made.receive_binary(video(10**9, b"x"), 0.0, 0.0)
    assert made.receive_binary(video(10**9 + 1, b"x"), 1.0, 0.0) is not None


def test_the_bit_rate_is_limited():
    made = publishing(max_bitrate_bps=1_000_000)
    with pytest.raises(TooFast, match=r"browser\.max_bitrate_bps"):
        made.receive_binary(video(0, bytes(700_000)), 0.0, 0.0)


def test_timestamps_that_do_not_increase_are_left_out_and_then_end_it():
    made = publishing(max_messages_per_s=5000)
    assert made.receive_binary(video(5_000_000, b"x"), 0.0, 0.0)
    assert made.receive_binary(video(5_000_000, b"x"), 0.0, 0.0) is None
    assert made.receive_binary(video(5_000_100, b"x"), 0.0, 0.0)
    assert made.dropped == 1
    for _ in range(99):
        assert made.receive_binary(video(0, b"x"), 0.0, 0.0) is None
    assert made.receive_binary(video(0, b"x"), 0.0, 0.0) is None
    with pytest.raises(FramingViolation) as raised:
        made.receive_binary(video(0, b"x"), 0.0, 0.0)
    assert raised.value.reason == "timestamps"


def test_acks_come_at_most_once_an_interval_and_count_everything():
    made = publishing(ack_interval_ms=100)
    assert made.due_ack(1.0) is None
    made.receive_binary(video(0, b"12345678"), 1.0, 0.0)
    ack = made.due_ack(1.0)
    assert ack == framing.Ack(1, 16)
    made.receive_binary(video(100_000, b"12345678"), 1.05, 0.0)
    assert made.due_ack(1.05) is None
    assert made.due_ack(1.2) == framing.Ack(2, 32)


def test_key_frames_are_requested_rarely():
    made = session(key_frame_request_s=1)
    assert not made.may_request_key(0.0)
    made.receive_text(HELLO, 0.0)
    made.accept(0.0)
    assert made.may_request_key(5.0)
    assert not made.may_request_key(5.5)
    assert made.may_request_key(6.1)


def test_silence_ends_it():
    made = session(hello_timeout_s=5, idle_timeout_s=15)
    made.require_alive(4.0)
    with pytest.raises(TooSlow, match="stream key"):
        made.require_alive(5.1)
    made.receive_text(HELLO, 5.0)
    made.require_alive(100.0)  # the server itself takes the time to decide
    made.accept(100.0)
    made.require_alive(114.0)
    with pytest.raises(TooSlow):
        made.require_alive(115.1)


@given(st.lists(st.one_of(st.binary(max_size=64), st.text(max_size=64)), max_size=40))
def test_random_messages_raise_only_errors_of_the_protocol(messages: list[bytes | str]):
    made = publishing()
    for message in messages:
        try:
            if isinstance(message, bytes):
                made.receive_binary(message, 1.0, 1.0)
            else:
                made.receive_text(message, 1.0)
        except AirnodeError as error:
            assert error.detail  # noqa: PT017 - any of the messages may raise
            return


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 2**48 - 1), st.binary(min_size=1, max_size=20), st.booleans()),
        max_size=60,
    )
)
def test_frames_that_pass_are_in_order_and_unchanged(frames: list[tuple[bool, int, bytes, bool]]):
    made = publishing()
    last: dict[str, int] = {}
    for is_video, at_us, data, key in frames:
        message = video(at_us, data, key=key) if is_video else audio(at_us, data)
        frame = made.receive_binary(message, 1.0, 7.0)
        if frame is None:
            continue
        assert isinstance(frame, Frame)
        assert frame.data == data
        assert frame.dts_90k == at_us * 9 // 100
        assert frame.dts_90k > last.get(frame.track, -1)
        last[frame.track] = frame.dts_90k
