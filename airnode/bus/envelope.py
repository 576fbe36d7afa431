"""The wire format of messages on a channel."""

import msgspec

from airnode.errors import TooLarge

VERSION = 1
MAX_BYTES = 256 << 10


class Envelope(msgspec.Struct, frozen=True):
    """One message on the wire: a JSON object in UTF-8, at most 256 KiB::

        {"v": 1, "t": "Heartbeat", "b": {"node_id": "…", "load": 0.2}}

    =====  =======  ============================================================================
    name   type     meaning
    =====  =======  ============================================================================
    ``v``  integer  version of this envelope; readers drop other versions than 1
    ``t``  string   type of the body: the tag of its struct, or the name of the struct
    ``b``  object   the body; readers ignore members that they do not know
    =====  =======  ============================================================================
    """

    v: int
    t: str
    b: msgspec.Raw


class Undecodable(Exception):
    """A message cannot be decoded and is dropped. ``reason`` is a label of the metric."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


_decoder = msgspec.json.Decoder(Envelope)
_encoder = msgspec.json.Encoder()


def type_name(kind: type[msgspec.Struct]) -> str:
    """Return the value of ``t`` for this type of body."""
    tag = kind.__struct_config__.tag
    return kind.__name__ if tag is None else str(tag)


def encode(body: msgspec.Struct) -> bytes:
    """Return the message for a body.

    Raises:
        TooLarge: the message is above 256 KiB. HTTP 413.
    """
    data = _encoder.encode(Envelope(VERSION, type_name(type(body)), msgspec.Raw(_encoder.encode(body))))
    if len(data) > MAX_BYTES:
        raise TooLarge(f"A message of {len(data)} bytes is above the limit of {MAX_BYTES}.")
    return data


def decode(data: bytes) -> Envelope:
    """Return the envelope of a message, with the body undecoded.

    Raises:
        Undecodable: too large, not an envelope, or of another version.
    """
    if len(data) > MAX_BYTES:
        raise Undecodable("too_large", f"{len(data)} bytes")
    try:
        envelope = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable("garbage", str(error)) from None
    if envelope.v != VERSION:
        raise Undecodable("unknown_version", f"version {envelope.v}")
    return envelope
