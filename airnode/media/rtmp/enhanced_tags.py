"""Common parts of Enhanced RTMP's tags (Veovera, v2): FourCC codes, modifiers, several tracks in one tag."""

from typing import Final

from airnode.media.frames import TrackKind
from airnode.media.rtmp.errors import MalformedMedia

#: The packet type of a tag with track ids.
MULTITRACK: Final[dict[TrackKind, int]] = {"audio": 5, "video": 6}
_MOD_EX: Final = 7
_MAX_MOD_EX: Final = 8
# AvMultitrackType.
_ONE_TRACK, _MANY_TRACKS, _MANY_TRACKS_MANY_CODECS = 0, 1, 2
_FOURCC_BYTES: Final = 4
_NAMES: Final = {
    b"ac-3": "AC-3",
    b"ec-3": "E-AC-3",
    b".mp3": "MP3",
    b"fLaC": "FLAC",
    b"vp08": "VP8",
    b"vp09": "VP9",
    b"vvc1": "H.266",
}


def skip_mod_ex(payload: bytes) -> tuple[int, int]:
    """Return (packet type, position after it) of an enhanced tag, without its modifiers (Enhanced RTMP v2, ModEx)."""
    packet_type, pos = payload[0] & 0x0F, 1
    for _ in range(_MAX_MOD_EX):
        if packet_type != _MOD_EX:
            return packet_type, pos
        size_bytes = payload[pos] + 1 if pos < len(payload) else 0
        pos += 1
        if size_bytes == 256:
            size_bytes = int.from_bytes(payload[pos : pos + 2], "big") + 1
            pos += 2
        pos += size_bytes
        if pos >= len(payload):
            raise MalformedMedia("an enhanced message is cut short")
        packet_type = payload[pos] & 0x0F
        pos += 1
    raise MalformedMedia("an enhanced message has too many modifiers")


def fourcc_at(payload: bytes, pos: int) -> bytes:
    """Return the FourCC of a codec.

    Raises:
        MalformedMedia: the message is cut short.
    """
    fourcc = payload[pos : pos + _FOURCC_BYTES]
    if len(fourcc) < _FOURCC_BYTES:
        raise MalformedMedia("an enhanced message is cut short")
    return fourcc


def fourcc_name(fourcc: bytes) -> str:
    """Return a codec's usual name."""
    text = fourcc.decode("ascii", "replace").strip()
    return _NAMES.get(fourcc) or (text if text.isprintable() and text.isascii() else fourcc.hex())


def track_0(payload: bytes, pos: int) -> tuple[int, bytes, int, int] | None:
    """Return the (packet type, FourCC, start, end) of track 0 in a tag with track ids; None: it has no track 0.

    Args:
        pos: position of the byte with the kind of multitrack and the packet type.

    Raises:
        MalformedMedia: the message is cut short, or of an unknown kind.
    """
    if pos >= len(payload):
        raise MalformedMedia("an enhanced message is cut short")
    kind, packet_type = payload[pos] >> 4, payload[pos] & 0x0F
    pos += 1
    if kind > _MANY_TRACKS_MANY_CODECS:
        raise MalformedMedia(f"an enhanced message with several tracks of kind {kind}")
    fourcc = b""
    if kind != _MANY_TRACKS_MANY_CODECS:
        fourcc = fourcc_at(payload, pos)
        pos += _FOURCC_BYTES
    while pos < len(payload):
        if kind == _MANY_TRACKS_MANY_CODECS:
            fourcc = fourcc_at(payload, pos)
            pos += _FOURCC_BYTES
        head = payload[pos : pos + (1 if kind == _ONE_TRACK else 4)]
        pos += len(head)
        end = len(payload) if kind == _ONE_TRACK else pos + int.from_bytes(head[1:4], "big")
        if not head or end > len(payload) or (kind != _ONE_TRACK and len(head) < 4):
            raise MalformedMedia("an enhanced message is cut short")
        if head[0] == 0:
            return packet_type, fourcc, pos, end
        pos = end
    return None
