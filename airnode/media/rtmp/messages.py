"""The contents of RTMP messages: their types, the fixed parts of the server's answers, values, aggregates.

Sections are those of Adobe RTMP 1.0.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from airnode.media.rtmp.amf0 import decode_readable
from airnode.media.rtmp.amf_values import AmfInput, AmfValue
from airnode.media.rtmp.chunks import Message
from airnode.media.rtmp.errors import ProtocolViolation

# Message types (sections 5.4, 7.1). chunks.py handles 1 (Set Chunk Size) and 2 (Abort Message).
ACKNOWLEDGEMENT, USER_CONTROL, WINDOW_ACK_SIZE, SET_PEER_BANDWIDTH = 3, 4, 5, 6
AUDIO, VIDEO = 8, 9
DATA_AMF3, COMMAND_AMF3, DATA_AMF0, COMMAND_AMF0, AGGREGATE = 15, 17, 18, 20, 22
# Event types of user control messages (section 7.1.7).
STREAM_BEGIN, PING_REQUEST, PING_RESPONSE = 0, 6, 7

#: The peer acknowledges after this many bytes; the server does too, until the peer sends its own window size.
ACK_WINDOW_BYTES: Final = 2_500_000
#: FFmpeg takes over the server's chunk size for its own messages. A large one saves headers on both sides.
SERVER_CHUNK_SIZE_BYTES: Final = 65_536
#: FourCC codes that can be published with Enhanced RTMP.
_VIDEO_FOURCCS: Final = ("avc1", "hvc1", "av01")
_AUDIO_FOURCCS: Final = ("mp4a", "Opus")
#: FourCcInfoMask (Enhanced RTMP v2): the server forwards; it neither decodes nor encodes.
_CAN_FORWARD: Final = 4
#: CapsExMask: ModEx is supported; reconnect requests, multitrack and nanosecond offsets are not.
_CAPS_EX: Final = 4
_AMF3_STRING: Final = b"\x06"
#: Without a format byte, no AMF0 command or data message begins with these bytes: 00 would be a number.
_FORMAT_BYTE_AND_STRING: Final = b"\x00\x02"
_TAG_HEADER_BYTES: Final = 11
_BACK_POINTER_BYTES: Final = 4
_MAX_AGGREGATE_PARTS: Final = 4096

# --- the server's answers


def status_info(level: str, code: str, description: str) -> dict[str, AmfInput]:
    """Return the information object of a status."""
    return {"level": level, "code": code, "description": description}


def connect_result(options: Mapping[str, object]) -> tuple[dict[str, AmfInput], dict[str, AmfInput]]:
    """Return the (properties, information) of the result of connect.

    The properties of Enhanced RTMP are included only if the client's ``options`` contain one of them.
    """
    properties: dict[str, AmfInput] = {"fmsVer": "FMS/3,0,1,123", "capabilities": 31.0}
    if options.keys() & {"fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"}:
        properties["fourCcList"] = [*_VIDEO_FOURCCS, *_AUDIO_FOURCCS]
        properties["videoFourCcInfoMap"] = dict.fromkeys(_VIDEO_FOURCCS, _CAN_FORWARD)
        properties["audioFourCcInfoMap"] = dict.fromkeys(_AUDIO_FOURCCS, _CAN_FORWARD)
        properties["capsEx"] = _CAPS_EX
    return properties, status_info("status", "NetConnection.Connect.Success", "Connected") | {"objectEncoding": 0.0}


def stream_begin(stream_id: int) -> bytes:
    """Return the payload of a Stream Begin user control message."""
    return STREAM_BEGIN.to_bytes(2, "big") + stream_id.to_bytes(4, "big")


def ping_response(timestamp: bytes) -> bytes:
    """Return the payload that answers a Ping Request with these four bytes."""
    return PING_RESPONSE.to_bytes(2, "big") + timestamp.ljust(4, b"\0")


# --- values


def read_values(message: Message, max_depth: int, max_items: int) -> tuple[list[AmfValue], ProtocolViolation | None]:
    """Return the values of a command or data message that can be read, and the first error.

    The AMF3 types begin with a format byte and contain AMF0 values, each of which may switch to AMF3. Some encoders
    send AMF3 values without that byte, and others send the byte with the AMF0 types.
    """
    payload = message.payload
    is_amf3 = False
    if message.type_id in (COMMAND_AMF3, DATA_AMF3):
        is_amf3 = payload.startswith(_AMF3_STRING)
        payload = payload.removeprefix(b"\0")
    elif payload.startswith(_FORMAT_BYTE_AND_STRING):
        payload = payload[1:]
    return decode_readable(payload, max_depth=max_depth, max_items=max_items, is_amf3=is_amf3)


# --- aggregates


def split_aggregate(message: Message) -> Iterator[Message]:
    """Yield the complete messages of an aggregate message: several FLV tags in one RTMP message (section 7.1.6).

    Their timestamps are shifted so that the first one has the aggregate's own timestamp.

    Raises:
        ProtocolViolation: ``aggregate``: cut short, or too many parts.
    """
    data, pos, offset_ms = message.payload, 0, None
    for _ in range(_MAX_AGGREGATE_PARTS):
        if pos == len(data):
            return
        end = pos + _TAG_HEADER_BYTES + int.from_bytes(data[pos + 1 : pos + 4], "big")
        if end > len(data):
            raise ProtocolViolation("aggregate", "an aggregate message ends early")
        tag_ms = int.from_bytes(data[pos + 4 : pos + 7], "big") | data[pos + 7] << 24
        if offset_ms is None:
            offset_ms = message.timestamp_ms - tag_ms
        payload = data[pos + _TAG_HEADER_BYTES : end]
        yield Message(data[pos], message.stream_id, (tag_ms + offset_ms) & 0xFFFFFFFF, payload)
        # Some encoders omit the last back pointer.
        pos = min(end + _BACK_POINTER_BYTES, len(data))
    raise ProtocolViolation("aggregate", f"more than {_MAX_AGGREGATE_PARTS} messages in one aggregate")
