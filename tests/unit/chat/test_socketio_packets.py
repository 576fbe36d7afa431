"""Packets of Socket.IO 5: the examples of the protocol's text, any value there and back, any text."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.chat.engineio.encoded import EncodedPacket
from airnode.chat.engineio.packets import SEPARATOR, decode_record
from airnode.chat.engineio.wire_errors import WireError
from airnode.chat.socketio.packets import PacketKind, SocketPacket, decode, encode, encode_event, fill_in

SID = {"sid": "oSO0OpakMV_3jnilAAAA"}
DATA = b"\x01\x02\x03\x04"


def there_and_back(packet: EncodedPacket) -> SocketPacket:
    """Decode a payload of long-polling, as a client would."""
    text, *attachments = map(decode_record, packet.record.decode().split(SEPARATOR))
    assert isinstance(text.data, str)
    found = decode(text.data, max_attachments=1000)
    assert found.missing == len(attachments)
    if attachments:
        fill_in(found, [bytes(each.data) for each in attachments if isinstance(each.data, bytes)])
    return found


EXAMPLES = [
    (PacketKind.CONNECT, "/", None, None, "0"),
    (PacketKind.CONNECT, "/", SID, None, '0{"sid":"oSO0OpakMV_3jnilAAAA"}'),
    (PacketKind.CONNECT, "/admin", None, None, "0/admin,"),
    (PacketKind.CONNECT, "/admin", SID, None, '0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}'),
    (PacketKind.CONNECT_ERROR, "/", {"message": "Not authorized"}, None, '4{"message":"Not authorized"}'),
    (PacketKind.EVENT, "/", ["foo"], None, '2["foo"]'),
    (PacketKind.EVENT, "/admin", ["bar"], None, '2/admin,["bar"]'),
    (PacketKind.EVENT, "/", ["foo"], 12, '212["foo"]'),
    (PacketKind.ACK, "/", [], 12, "312[]"),
    (PacketKind.EVENT, "/admin", ["foo"], 13, '2/admin,13["foo"]'),
    (PacketKind.ACK, "/admin", ["bar"], 13, '3/admin,13["bar"]'),
    (PacketKind.EVENT, "/", ["baz", DATA], None, '51-["baz",{"_placeholder":true,"num":0}]'),
    (PacketKind.EVENT, "/", ["foo", DATA], 14, '51-14["foo",{"_placeholder":true,"num":0}]'),
    (PacketKind.ACK, "/", ["bar", DATA], 15, '61-15["bar",{"_placeholder":true,"num":0}]'),
    (PacketKind.DISCONNECT, "/", None, None, "1"),
    (PacketKind.DISCONNECT, "/admin", None, None, "1/admin,"),
]


@pytest.mark.parametrize(("kind", "namespace", "data", "ack_id", "text"), EXAMPLES)
def test_the_examples_of_the_protocol(kind: PacketKind, namespace: str, data: Any, ack_id: int | None, text: str):
    packet = encode(kind, namespace, data, ack_id)
    assert packet.text == "4" + text
    if kind is not PacketKind.CONNECT_ERROR:
        assert there_and_back(packet) == SocketPacket(kind, namespace, data, ack_id)


def test_two_attachments_in_a_namespace():
    packet = encode_event("/admin", "baz", [b"\x01\x02", b"\x03\x04"])
    assert packet.text == '452-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    assert packet.frames.endswith(b"\x82\x02\x01\x02\x82\x02\x03\x04")
    assert packet.record.endswith(b"]\x1ebAQI=\x1ebAwQ=")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc다", max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(values, max_size=4),
    st.sampled_from(["/", "/a", "/a-b?c=1", "/다"]),
    st.none() | st.integers(0, 10**15),
)
def test_any_event_there_and_back(name: str, args: list[Any], namespace: str, ack_id: int | None):
    packet = encode(PacketKind.EVENT, namespace, [name, *args], ack_id)
    assert there_and_back(packet) == SocketPacket(PacketKind.EVENT, namespace, [name, *args], ack_id)


@given(st.text(max_size=200) | st.from_regex(r"\A[0-6](\d{1,12}-)?(/[a-z]*,)?\d{0,20}(\[.*\]|\{.*\})?\Z"))
def test_any_text_is_a_packet_or_an_error(text: str):
    try:
        packet = decode(text, max_attachments=10)
    except WireError:
        return
    assert packet.missing <= 10
    assert packet.kind not in (PacketKind.BINARY_EVENT, PacketKind.BINARY_ACK, PacketKind.CONNECT_ERROR)


@given(st.text(max_size=200))
def test_any_record_is_a_packet_or_an_error(text: str):
    with contextlib.suppress(WireError):
        decode_record(text)


@pytest.mark.parametrize("value", [object(), {1, 2}, {1: 2}, 2**64, "\ud800"])
def test_what_json_cannot_have_is_an_error_of_the_sender(value: object):
    with pytest.raises(TypeError):
        encode_event("/", "a", [value])
