"""What the server says: the fixed parts of its answers."""

from collections.abc import Mapping
from typing import Final

from airnode.media.rtmp.amf0 import AmfInput

#: The window after which a peer is to acknowledge; also ours until the peer names one.
WINDOW_BYTES: Final = 2_500_000
#: FFmpeg takes over the server's chunk size for its own messages; a large one spares both sides headers.
CHUNK_SIZE: Final = 65_536
#: FourCC codes that can be published with Enhanced RTMP.
VIDEO_FOURCCS: Final = ("avc1", "hvc1", "av01")
AUDIO_FOURCCS: Final = ("mp4a",)
#: FourCcInfoMask (Enhanced RTMP v2): we forward, and neither decode nor encode.
_CAN_FORWARD: Final = 4
#: CapsExMask: ModEx is understood; reconnect requests, multitrack and nanosecond offsets are not.
_CAPS_EX: Final = 4
_STREAM_BEGIN, _PING_RESPONSE = 0, 7


def info(level: str, code: str, description: str) -> dict[str, AmfInput]:
    """The information object of a status."""
    return {"level": level, "code": code, "description": description}


def connect_result(options: Mapping[str, object]) -> tuple[dict[str, AmfInput], dict[str, AmfInput]]:
    """The (properties, information) of connect's result; Enhanced RTMP is answered to those who speak it."""
    properties: dict[str, AmfInput] = {"fmsVer": "FMS/3,0,1,123", "capabilities": 31.0}
    if options.keys() & {"fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"}:
        properties["fourCcList"] = [*VIDEO_FOURCCS, *AUDIO_FOURCCS]
        properties["videoFourCcInfoMap"] = dict.fromkeys(VIDEO_FOURCCS, _CAN_FORWARD)
        properties["audioFourCcInfoMap"] = dict.fromkeys(AUDIO_FOURCCS, _CAN_FORWARD)
        properties["capsEx"] = _CAPS_EX
    return properties, info("status", "NetConnection.Connect.Success", "Connected") | {"objectEncoding": 0.0}


def stream_begin(stream_id: int) -> bytes:
    """The payload of a Stream Begin user control message (section 7.1.7)."""
    return _STREAM_BEGIN.to_bytes(2, "big") + stream_id.to_bytes(4, "big")


def ping_response(time: bytes) -> bytes:
    """The payload that answers a Ping Request with these four bytes."""
    return _PING_RESPONSE.to_bytes(2, "big") + time.ljust(4, b"\0")
