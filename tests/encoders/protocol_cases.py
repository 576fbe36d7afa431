"""Cases of unusual RTMP commands, data messages, tracks and codecs (from reports of OBS, MediaMTX, nginx-rtmp, SRS)."""

import struct
from collections.abc import Callable

from airnode.media.rtmp import amf0
from tests.encoders.cases import Case
from tests.encoders.stream import AUDIO, DATA, VIDEO, Stream, Tag, base, each_second, raw, tag
from tests.support.rtmp import chunk, command

AMF3_DATA = 15
_END = b"\0\0\x09"
_AMF3_OBJECT = b"\x11\x0a\x0b\x01\x0bwidth\x04\x81\x00\x01"


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def number(value: float) -> bytes:
    return b"\0" + struct.pack(">d", value)


def data(payload: bytes, kind: int = DATA) -> Callable[[], Stream]:
    """Return a function that returns the base stream with a data message once a second."""
    return lambda: each_second(lambda each: tag(kind, each.at_ms, payload))


def control(payload: bytes, *, kind: int = 4, csid: int = 2) -> Callable[[], Stream]:
    """Return a function that returns the base stream with a control message, or any other, once a second."""
    return lambda: each_second(lambda each: raw(each.at_ms, chunk(kind, payload, csid=csid)))


def once(payload: bytes, *, kind: int, csid: int = 2) -> Callable[[], Stream]:
    return lambda: each_second(lambda each: raw(each.at_ms, chunk(kind, payload, csid=csid)), once=True)


def metadata() -> bytes:
    return next(each.body for each in base() if each.kind == DATA)


def obs_vod_track() -> Stream:
    """Return the stream of OBS up to 30.1 with "Twitch VOD Track": a second audio track inside data messages."""

    def label(value: str) -> bytes:
        return text("mediaLabels") + b"\x03" + text("contentType") + b"\x02" + text(value) + _END

    announced = b"\x02" + text("@setDataFrame") + b"\x02" + text("onExpectAdditionalMedia") + b"\x03"
    announced += text("processingIntents") + b"\x0a\0\0\0\1\x02" + text("ArchiveProgramNarrationAudio")
    announced += text("additionalMedia") + b"\x03" + text("stream0") + b"\x03" + text("type") + number(8)
    announced += label("PNAR") + _END + _END
    announced += text("defaultMedia") + b"\x03" + text("audio") + b"\x03" + label("PRM") + _END + _END + _END

    def u29(value: int) -> bytes:
        return bytes([value]) if value <= 0x7F else bytes([0x80 | value >> 7, value & 0x7F])

    def second(body: bytes) -> bytes:
        head = b"\x02" + text("additionalMedia") + b"\x03" + text("id") + b"\x02" + text("stream0") + text("media")
        return head + b"\x11\x0c" + u29(1 | len(body) << 1) + body + _END

    made: Stream = []
    for index, each in enumerate(base()):
        made.append(each)
        if index == 0:
            made.append(tag(DATA, 0, announced))
        if each.kind == AUDIO:
            made.append(tag(DATA, each.at_ms, second(each.body)))
    return made


def second_track(kind: int) -> Stream:
    """Return the base stream with a second track in the multitrack form of Enhanced RTMP (OneTrack, track id 1)."""
    made: Stream = []
    for each in base():
        made.append(each)
        if each.kind == kind == AUDIO:
            made.append(tag(AUDIO, each.at_ms, bytes([0x95, each.body[1]]) + b"mp4a\x01" + each.body[2:]))
        elif each.kind == kind == VIDEO:
            head = bytes([0x80 | each.body[0] & 0xF0 | 6, each.body[1] & 0xF])
            rest = each.body[5:] if each.body[1] == 0 else each.body[2:]
            made.append(tag(VIDEO, each.at_ms, head + b"avc1\x01" + rest))
    return made


def changed(kind: int, change: Callable[[bytes], bytes], from_ms: int = 0) -> Stream:
    return [
        tag(kind, each.at_ms, change(each.body)) if each.kind == kind and each.at_ms >= from_ms else each
        for each in base()
    ]


def enhanced_avc(body: bytes) -> bytes:
    head = bytes([0x80 | body[0] & 0xF0 | body[1]]) + b"avc1"
    return head + (body[5:] if body[1] == 0 else body[2:])


def on_stream_zero() -> Stream:
    return [raw(each.at_ms, lambda _, each=each: each.wire(0)) for each in base()]  # type: ignore[misc]


def with_chunk_size(size_bytes: int) -> Stream:
    def wire(each: Tag) -> Callable[[int], bytes]:
        csid = {AUDIO: 4, VIDEO: 6}.get(each.kind, 5)
        return lambda stream_id: chunk(
            each.kind,
            each.body,
            timestamp_ms=each.stamp_ms,
            stream_id=stream_id,
            csid=csid,
            chunk_size_bytes=1 << 27,
        )

    first = raw(0, chunk(1, size_bytes.to_bytes(4, "big"), csid=2))
    return [first, *(raw(each.at_ms, wire(each)) for each in base())]


_META = b"\x02" + text("@setDataFrame") + b"\x02" + text("onMetaData")
_MANY = b"".join(text(f"k{index}") + b"\x01\x01" for index in range(1_500))
_DEEP = (b"\x03" + text("a")) * 500

CASES = {
    "obs_vod_track": Case("second track", obs_vod_track),
    "multitrack_audio": Case("second track", lambda: second_track(AUDIO)),
    "multitrack_video": Case("second track", lambda: second_track(VIDEO)),
    "one_track_multitrack": Case(
        "second track", lambda: changed(AUDIO, lambda b: bytes([0x95, b[1]]) + b"mp4a\0" + b[2:])
    ),
    "amf3_inside": Case("AMF3", data(_META + _AMF3_OBJECT)),
    "amf3_data_message": Case("AMF3", data(b"\0" + _META + _AMF3_OBJECT, AMF3_DATA)),
    "amf3_pure": Case(
        "AMF3", data(b"\x06\x1b@setDataFrame\x06\x15onMetaData\x0a\x0b\x01\x0bwidth\x04\x81\x00\x01", AMF3_DATA)
    ),
    "amf3_command": Case("AMF3", once(b"\0" + amf0.encode(("_checkbw", 9.0, None)), kind=17, csid=3)),
    "amf3_command_arguments": Case(
        "AMF3", once(b"\0\x02" + text("foo") + number(1) + b"\x11\x0a\x01", kind=17, csid=3)
    ),
    "amf3_shared_object": Case("AMF3", control(b"\0\0\3abc", kind=16, csid=3)),
    "data_is_object": Case("odd data", data(b"\x03" + text("width") + number(640) + _END)),
    "data_leading_zero": Case("odd data", lambda: each_second(lambda t: tag(DATA, t.at_ms, b"\0" + metadata()))),
    "data_truncated": Case("odd data", lambda: each_second(lambda t: tag(DATA, t.at_ms, metadata()[:100]))),
    "data_unterminated": Case("odd data", lambda: each_second(lambda t: tag(DATA, t.at_ms, metadata()[:-3]))),
    "data_empty": Case("odd data", data(b"")),
    "data_binary": Case("odd data", data(bytes(range(256)))),
    "data_1500_items": Case("long data", data(b"\x02" + text("onMetaData") + b"\x08" + bytes(4) + _MANY + _END)),
    "data_nested_500": Case("long data", data(b"\x02" + text("onMetaData") + _DEEP)),
    "data_200_kB": Case("long data", data(_META + b"\x0c" + struct.pack(">I", 200_000) + b"x" * 200_000)),
    "data_reference": Case("odd data", data(b"\x02" + text("onMetaData") + b"\x03" + text("a") + b"\x07\0\0" + _END)),
    "data_text_cue": Case(
        "odd data", data(b"\x02" + text("onTextData") + b"\x08\0\0\0\1" + text("text") + b"\x02" + text("hi") + _END)
    ),
    "user_control_unknown": Case("odd control message", control(b"\0\x1f")),
    "set_buffer_length": Case("odd control message", control(b"\0\3\0\0\0\1\0\0\x0b\xb8")),
    "unknown_type_255": Case("odd control message", control(b"abc", kind=255, csid=7)),
    "shared_object": Case("odd control message", control(b"\0\3abc", kind=19, csid=3)),
    "acknowledgement_short": Case("odd control message", control(b"\0\0\1", kind=3)),
    "window_size_zero": Case("odd control message", once(bytes(4), kind=5)),
    "unknown_command": Case(
        "odd command", lambda: each_second(lambda t: raw(t.at_ms, command("onStatusX", 0.0, None, {"a": 1.0})))
    ),
    "command_without_number": Case("odd command", once(b"\x02" + text("@updateData"), kind=20, csid=3)),
    "chunk_size_2_31": Case("chunk size", lambda: with_chunk_size((1 << 31) - 1)),
    "chunk_size_2_27": Case("chunk size", lambda: with_chunk_size(1 << 27)),
    "media_on_stream_0": Case("message stream", on_stream_zero),
    "mp3_audio": Case("codec not carried", lambda: changed(AUDIO, lambda b: b"\x2f" + b[2:])),
    "mp3_from_3s": Case("codec not carried", lambda: changed(AUDIO, lambda b: b"\x2f" + b[2:], 3_000)),
    "pcma_audio": Case("codec not carried", lambda: changed(AUDIO, lambda b: b"\x72" + b[2:])),
    "ac3_audio": Case("codec not carried", lambda: changed(AUDIO, lambda b: bytes([0x90 | b[1]]) + b"ac-3" + b[2:])),
    "screen_video": Case(
        "codec not carried",
        lambda: changed(VIDEO, lambda b: b"\x13" + b[5:]),
        counts_pictures=False,
        said="video_codec",
    ),
    "video_info_frame": Case("odd tag", lambda: each_second(lambda t: tag(VIDEO, t.at_ms, b"\x57\0"))),
    "enhanced_avc": Case("Enhanced RTMP", lambda: changed(VIDEO, enhanced_avc)),
    "enhanced_color_info": Case(
        "Enhanced RTMP",
        lambda: each_second(
            lambda t: tag(VIDEO, t.at_ms, b"\xd4avc1" + amf0.encode(("colorInfo", {"colorConfig": {"bitDepth": 8.0}})))
        ),
    ),
}
