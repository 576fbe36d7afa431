"""RFC 6455: frames taken apart and built."""

import contextlib
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.chat.engineio.websocket_frames import (
    CloseCode,
    FrameError,
    FrameParser,
    Opcode,
    WebSocketMessage,
    close_answer,
    close_frame,
    server_frame,
)


def client_frame(opcode: int, payload: bytes, *, is_last: bool = True, mask: bytes = b"\x01\x80\xfe\x37") -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes(((0x80 if is_last else 0) | opcode, 0x80 | size))
    elif size < 1 << 16:
        head = struct.pack("!BBH", (0x80 if is_last else 0) | opcode, 0xFE, size)
    else:
        head = struct.pack("!BBQ", (0x80 if is_last else 0) | opcode, 0xFF, size)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def parsed(data: bytes, *, cuts: tuple[int, ...] = (), max_bytes: int = 1 << 20) -> list[WebSocketMessage]:
    parser, found = FrameParser(max_bytes), []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        parser.push(data[start:end])
        while (message := parser.next()) is not None:
            found.append(message)
    return found


def test_the_example_of_the_rfc():
    assert parsed(bytes.fromhex("818537fa213d7f9f4d5158")) == [WebSocketMessage(Opcode.TEXT, b"", "Hello")]
    assert server_frame(Opcode.TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert server_frame(Opcode.BINARY, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert server_frame(Opcode.BINARY, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")


messages = st.lists(
    st.one_of(
        st.tuples(st.just(Opcode.TEXT), st.text(max_size=300).map(str.encode)),
        st.tuples(st.just(Opcode.BINARY), st.binary(max_size=70_000)),
        st.tuples(st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125)),
    ),
    max_size=6,
)


@given(messages, st.lists(st.integers(0, 1 << 30), max_size=8), st.integers(0, 3), st.binary(min_size=4, max_size=4))
def test_any_messages_in_any_pieces(sent: list[tuple[Opcode, bytes]], cuts: list[int], parts: int, mask: bytes):
    data, expected = b"", []
    for opcode, payload in sent:
        if opcode >= Opcode.CLOSE:
            data += client_frame(opcode, payload, mask=mask)
        else:
            data += fragments(opcode, payload, parts, mask)
        expected.append(
            WebSocketMessage(opcode, b"", payload.decode())
            if opcode is Opcode.TEXT
            else WebSocketMessage(opcode, payload)
        )
    assert parsed(data, cuts=tuple(cuts)) == expected


def fragments(opcode: Opcode, payload: bytes, parts: int, mask: bytes) -> bytes:
    """One message in ``parts`` + 1 frames."""
    if not parts:
        return client_frame(opcode, payload, mask=mask)
    third = len(payload) // (parts + 1)
    data = client_frame(opcode, payload[:third], is_last=False, mask=mask)
    for part in range(1, parts):
        data += client_frame(Opcode.CONTINUATION, payload[part * third : (part + 1) * third], is_last=False, mask=mask)
    return data + client_frame(Opcode.CONTINUATION, payload[parts * third :], mask=mask)


@given(st.binary(max_size=3000), st.lists(st.integers(0, 1 << 30), max_size=4))
def test_any_bytes_are_messages_or_an_error(data: bytes, cuts: list[int]):
    found: list[WebSocketMessage] = []
    with contextlib.suppress(FrameError):
        found = parsed(data, cuts=tuple(cuts), max_bytes=1000)
    assert all(len(message.data) <= 1000 for message in found)


PROTOCOL = CloseCode.PROTOCOL_ERROR
BROKEN = {
    "no mask": (server_frame(Opcode.TEXT, b"Hello"), PROTOCOL),
    "a reserved bit": (b"\xc1\x80\x00\x00\x00\x00", PROTOCOL),
    "an unknown data opcode": (client_frame(3, b""), PROTOCOL),
    "an unknown control opcode": (client_frame(11, b""), PROTOCOL),
    "a fragmented ping": (client_frame(9, b"", is_last=False), PROTOCOL),
    "a long ping": (client_frame(9, bytes(126)), PROTOCOL),
    "a continuation of nothing": (client_frame(0, b"x"), PROTOCOL),
    "a message inside another": (client_frame(1, b"x", is_last=False) + client_frame(1, b"y"), PROTOCOL),
    "text that is not UTF-8": (client_frame(1, b"\xff"), CloseCode.INVALID_TEXT),
    "a surrogate": (client_frame(1, b"\xed\xa0\x80"), CloseCode.INVALID_TEXT),
    "half a character": (client_frame(1, "다".encode()[:2]), CloseCode.INVALID_TEXT),
    "too large": (client_frame(2, bytes(1001)), CloseCode.TOO_LARGE),
    "too large by its header": (b"\x82\xff" + b"\xff" * 8, CloseCode.TOO_LARGE),
    "too large in all": (client_frame(2, bytes(600), is_last=False) + client_frame(0, bytes(401)), CloseCode.TOO_LARGE),
}


@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN)
def test_what_a_client_must_not_send(data: bytes, code: CloseCode):
    with pytest.raises(FrameError) as found:
        parsed(data, max_bytes=1000)
    assert found.value.code is code


def test_a_character_may_be_cut_between_fragments():
    text = "다🎓".encode()
    data = client_frame(1, text[:2], is_last=False) + client_frame(9, b"p") + client_frame(0, text[2:])
    assert parsed(data) == [WebSocketMessage(Opcode.PING, b"p"), WebSocketMessage(Opcode.TEXT, b"", "다🎓")]


def test_a_large_message_in_single_bytes_is_not_copied_for_each():
    parser, data = FrameParser(1 << 20), client_frame(2, bytes(100_000))
    for at in range(len(data)):
        parser.push(data[at : at + 1])
        if at < len(data) - 1:
            assert parser.next() is None
    message = parser.next()
    assert message is not None
    assert len(message.data) == 100_000


# -- closing -----------------------------------------------------------------------------------------------------------


def test_a_close_is_answered_with_its_code():
    assert close_answer(b"") == b"\x88\x00"
    assert close_answer(b"\x03\xe8bye") == close_frame(1000) == b"\x88\x02\x03\xe8"
    assert close_answer(b"\x0f\xa0") == close_frame(4000)


@pytest.mark.parametrize(
    "payload", [b"\x03", b"\x03\xe7", b"\x03\xed", b"\x03\xee", b"\x03\xf7", b"\x13\x88", b"\x00\x00"]
)
def test_codes_that_nobody_may_send(payload: bytes):
    with pytest.raises(FrameError, match="close frame"):
        close_answer(payload)


def test_the_reason_of_a_close_must_be_text():
    with pytest.raises(FrameError) as found:
        close_answer(b"\x03\xe8\xff")
    assert found.value.code is CloseCode.INVALID_TEXT


def test_a_long_reason_is_cut_between_characters():
    frame = close_frame(1008, "다" * 100)
    assert len(frame) <= 127
    frame[4:].decode()
