"""ISO base media file format: boxes and the initialization section (ISO/IEC 14496-12, -14, -15; AV1-ISOBMFF).

One muxed fragmented file: at most one video and one audio track, no edit lists (times are composition times).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import pack

from airnode.media.frames import AudioConfig, VideoConfig

VIDEO_TIMESCALE = 90_000
VIDEO_TRACK_ID, AUDIO_TRACK_ID = 1, 2

#: Sample flags (14496-12 8.8.3.1): a sample that depends on no other; one that depends on others and is no sync sample.
SYNC_SAMPLE = 0x02000000
NON_SYNC_SAMPLE = 0x01010000

_SAMPLE_ENTRIES = {"avc": (b"avc1", b"avcC"), "hevc": (b"hvc1", b"hvcC"), "av1": (b"av01", b"av1C")}
_MATRIX = pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


@dataclass(frozen=True, slots=True)
class Track:
    """A track of the file.

    Attributes:
        bitrate_bps: written into btrt and esds; 0: unknown.
    """

    track_id: int
    config: VideoConfig | AudioConfig
    bitrate_bps: int = 0

    @property
    def timescale(self) -> int:
        """Ticks a second: 90 kHz for video, the sample rate for audio."""
        return VIDEO_TIMESCALE if isinstance(self.config, VideoConfig) else self.config.sample_rate


def box(kind: bytes, *payload: bytes) -> bytes:
    """Return a box: size, type and payload (14496-12 4.2)."""
    body = b"".join(payload)
    return pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *payload: bytes) -> bytes:
    """Return a box with version and flags (14496-12 4.2)."""
    return box(kind, pack(">I", version << 24 | flags), *payload)


def init_segment(tracks: Sequence[Track]) -> bytes:
    """Return the initialization section, ``ftyp`` and ``moov``, of one or two tracks with different ids."""
    ftyp = box(b"ftyp", b"iso6", pack(">I", 0), b"iso6", b"mp42", b"hlsf")
    moov = box(
        b"moov",
        _mvhd(next_track_id=max(track.track_id for track in tracks) + 1),
        *(_trak(track) for track in tracks),
        box(b"mvex", *(_trex(track) for track in tracks)),
    )
    return ftyp + moov


def _mvhd(next_track_id: int) -> bytes:
    times = pack(">IIII", 0, 0, 1000, 0)
    return full_box(b"mvhd", 0, 0, times, pack(">IH10x", 0x10000, 0x100), _MATRIX, bytes(24), pack(">I", next_track_id))


def _trex(track: Track) -> bytes:
    return full_box(b"trex", 0, 0, pack(">IIIII", track.track_id, 1, 0, 0, 0))


def _trak(track: Track) -> bytes:
    config = track.config
    video = isinstance(config, VideoConfig)
    media_header = full_box(b"vmhd", 0, 1, bytes(8)) if video else full_box(b"smhd", 0, 0, bytes(4))
    handler = b"vide" if video else b"soun"
    name = b"VideoHandler\0" if video else b"SoundHandler\0"
    return box(
        b"trak",
        _tkhd(track),
        box(
            b"mdia",
            full_box(b"mdhd", 0, 0, pack(">IIIIHH", 0, 0, track.timescale, 0, 0x55C4, 0)),
            full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12), name),
            box(b"minf", media_header, _dinf(), _stbl(_sample_entry(track))),
        ),
    )


def _tkhd(track: Track) -> bytes:
    config = track.config
    if isinstance(config, VideoConfig):
        volume, width, height = 0, config.width, config.height
    else:
        volume, width, height = 0x100, 0, 0
    enabled_in_movie = 3
    return full_box(
        b"tkhd",
        0,
        enabled_in_movie,
        pack(">IIIII8xHHHH", 0, 0, track.track_id, 0, 0, 0, 0, volume, 0),
        _MATRIX,
        pack(">II", width << 16, height << 16),
    )


def _dinf() -> bytes:
    in_this_file = full_box(b"url ", 0, 1)
    return box(b"dinf", full_box(b"dref", 0, 0, pack(">I", 1), in_this_file))


def _stbl(sample_entry: bytes) -> bytes:
    return box(
        b"stbl",
        full_box(b"stsd", 0, 0, pack(">I", 1), sample_entry),
        full_box(b"stts", 0, 0, bytes(4)),
        full_box(b"stsc", 0, 0, bytes(4)),
        full_box(b"stsz", 0, 0, bytes(8)),
        full_box(b"stco", 0, 0, bytes(4)),
    )


def _sample_entry(track: Track) -> bytes:
    if isinstance(track.config, VideoConfig):
        return _visual_sample_entry(track.config, track.bitrate_bps)
    return _audio_sample_entry(track.config, track.bitrate_bps)


def _visual_sample_entry(config: VideoConfig, bitrate_bps: int) -> bytes:
    entry, record = _SAMPLE_ENTRIES[config.codec]
    return box(
        entry,
        pack(">6xH16xHHIIIH", 1, config.width, config.height, 0x480000, 0x480000, 0, 1),
        bytes(32),
        pack(">Hh", 24, -1),
        box(record, config.record),
        _btrt(bitrate_bps),
        box(b"pasp", pack(">II", 1, 1)),
    )


def _audio_sample_entry(config: AudioConfig, bitrate_bps: int) -> bytes:
    # The field is 16.16 fixed point: a rate that does not fit is written as 0, and players read it from the esds.
    rate = config.sample_rate << 16 if config.sample_rate < 1 << 16 else 0
    opus = config.codec == "opus"
    return box(
        b"Opus" if opus else b"mp4a",
        pack(">6xH8xHH4xI", 1, config.channels, 16, rate),
        box(b"dOps", config.record) if opus else _esds(config.record, bitrate_bps),
        _btrt(bitrate_bps),
    )


def _btrt(bitrate_bps: int) -> bytes:
    return box(b"btrt", pack(">III", 0, bitrate_bps, bitrate_bps)) if bitrate_bps else b""


def _esds(audio_specific_config: bytes, bitrate_bps: int) -> bytes:
    """Return an esds box: the ES_Descriptor of ISO 14496-1 7.2.6.5 for MPEG-4 audio (object type 0x40)."""
    specific = _descriptor(0x05, audio_specific_config)
    audio_stream = 0x15
    decoder = _descriptor(0x04, pack(">BBBHII", 0x40, audio_stream, 0, 0, bitrate_bps, bitrate_bps) + specific)
    sync_layer = _descriptor(0x06, b"\x02")
    return full_box(b"esds", 0, 0, _descriptor(0x03, pack(">HB", 0, 0) + decoder + sync_layer))


def _descriptor(tag: int, body: bytes) -> bytes:
    """Return a descriptor with its length in the expandable form (7 bits a byte, 14496-1 8.3.3)."""
    size_bytes = len(body)
    groups = [size_bytes & 0x7F]
    while size_bytes := size_bytes >> 7:
        groups.append(size_bytes & 0x7F | 0x80)
    return bytes((tag, *reversed(groups))) + body
