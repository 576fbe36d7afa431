"""The messages of a browser that publishes (docs/browser-ingest.md). Sans-IO.

One WebSocket message is one of these; numbers are big-endian::

    text    JSON object with "type": {"type": "publish", "key": …}, {"type": "stop"}

    binary  kind u8 = 1, codec u8, record …                  configuration of the video or the sound
            kind u8 = 2, flags u8, timestamp u48, sample …    video frame; flags bit 0: key frame
            kind u8 = 3, flags u8 = 0, timestamp u48, sample …  AAC frame or Opus packet

Timestamps are microseconds of one clock for both tracks. Frames are in decode order, which is presentation order:
encoders in real-time mode do not reorder.
"""

from typing import Annotated, Final, Literal

import msgspec

from airnode.media.browser.errors import FramingViolation, MessageTooLarge
from airnode.media.frames import AudioCodec, CodecRecord, Frame, VideoCodec

CONFIG, VIDEO, AUDIO = 1, 2, 3
#: {number of a codec in a configuration: the codec}.
CODECS: Final[dict[int, VideoCodec | AudioCodec]] = {1: "avc", 2: "hevc", 3: "av1", 16: "aac", 17: "opus"}
HEADER_BYTES: Final = 8
#: Largest decoder configuration; H.265 parameter sets are a few hundred bytes.
MAX_RECORD_BYTES: Final = 8 << 10
MAX_TEXT_CHARS: Final = 4 << 10
_KEY_FLAG: Final = 1


class Publish(msgspec.Struct, frozen=True, tag="publish", tag_field="type"):
    """The first message: who publishes.

    Attributes:
        key: the stream key. room: its room; only for rooms that need no key.
        encoder: name of the browser, for the health strip.
    """

    key: Annotated[str, msgspec.Meta(max_length=256)] = ""
    room: Annotated[str, msgspec.Meta(max_length=63)] = ""
    encoder: Annotated[str, msgspec.Meta(max_length=100)] = ""

    def __repr__(self) -> str:
        return f"Publish(room={self.room!r}, encoder={self.encoder!r})"


class Stop(msgspec.Struct, frozen=True, tag="stop", tag_field="type"):
    """The publisher ends the class: there is no grace time."""


ClientText = Publish | Stop
_texts: Final = msgspec.json.Decoder(ClientText)


def parse_text(text: str) -> ClientText:
    """Return a text message.

    Raises:
        MessageTooLarge: it is longer than 4096 characters.
        FramingViolation: it is not valid; the detail never contains a value of it.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise MessageTooLarge(f"A text message has at most {MAX_TEXT_CHARS} characters.")
    try:
        message: ClientText = _texts.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise FramingViolation("text", "A text message is not one of docs/browser-ingest.md.") from None
    return message


def parse_binary(data: bytes, arrived_s: float) -> CodecRecord | Frame:
    """Return the configuration or frame in a binary message that arrived at the unix time ``arrived_s``.

    Raises:
        FramingViolation, MessageTooLarge: it is not valid.
    """
    kind = data[0] if data else 0
    if kind == CONFIG:
        return _config(data)
    if kind not in (VIDEO, AUDIO):
        raise FramingViolation("kind", f"A binary message of the unknown kind {kind}.")
    if len(data) <= HEADER_BYTES:
        raise FramingViolation("cut", "A frame is shorter than its header, or empty.")
    flags = data[1]
    if flags & ~_KEY_FLAG or (kind == AUDIO and flags):
        raise FramingViolation("flags", f"A frame has the unknown flags {flags}.")
    dts_90k = int.from_bytes(data[2:HEADER_BYTES], "big") * 9 // 100
    is_video = kind == VIDEO
    return Frame(
        "video" if is_video else "audio",
        dts_90k,
        0,
        data[HEADER_BYTES:],
        bool(flags) or not is_video,
        arrived_s,
    )


def _config(data: bytes) -> CodecRecord:
    if len(data) < 2:
        raise FramingViolation("cut", "A configuration is cut short.")
    codec = CODECS.get(data[1])
    if codec is None:
        raise FramingViolation("codec", f"A configuration of the unknown codec {data[1]}.")
    if len(data) > 2 + MAX_RECORD_BYTES:
        raise MessageTooLarge(f"A configuration has at most {MAX_RECORD_BYTES} bytes.")
    return CodecRecord(codec, data[2:])


# -- what the server sends --------------------------------------------------------------------------------------------


class Accepted(msgspec.Struct, frozen=True, tag="accepted", tag_field="type"):
    """The publisher may send media from now on.

    Attributes:
        key_frame_interval_s: longest time between two key frames.
        grace_s: the class is kept for this long after a lost connection.
    """

    room: str
    key_frame_interval_s: float
    grace_s: float


class Ack(msgspec.Struct, frozen=True, tag="ack", tag_field="type"):
    """So many binary messages, with so many bytes, have arrived since the publish was accepted."""

    messages: int
    bytes: int


class KeyFrameWanted(msgspec.Struct, frozen=True, tag="key_frame", tag_field="type"):
    """The next video frame should be a key frame."""

    reason: str


class Remark(msgspec.Struct, frozen=True, tag="remark", tag_field="type"):
    """Something that the teacher should know; the class goes on.

    Attributes:
        code: its kind, for pages with own texts. detail: the same as an English sentence.
    """

    code: Literal["sound_not_converted"]
    detail: str


class Refused(msgspec.Struct, frozen=True, tag="refused", tag_field="type"):
    """The last message before the server closes the connection. ``status``: the close code is 4000 + this."""

    code: str
    detail: str
    status: int
    retry_after_s: float | None = None


ServerText = Accepted | Ack | KeyFrameWanted | Remark | Refused
_encoder: Final = msgspec.json.Encoder()


def render(message: ServerText) -> str:
    """Return a message of the server as JSON."""
    return _encoder.encode(message).decode()
