"""Media fragments: ``moof`` and ``mdat`` (ISO/IEC 14496-12 8.8).

This is the hot path of the packager: each frame is written here twice, in a part and in a fragment of ``live.mp4``.
So the sample tables are flat lists that one call of `pack` writes, and a payload is copied once, by the last `join`.
"""

from collections.abc import Sequence
from struct import pack

from airnode.media.cmaf.bmff import NON_SYNC_SAMPLE, SYNC_SAMPLE

_DEFAULT_BASE_IS_MOOF = 0x020000
_DEFAULT_SAMPLE_FLAGS = 0x20
_DATA_OFFSET = 0x1
_DURATION_SIZE = 0x300
_FLAGS_CTS = 0xC00

_VIDEO_TRUN = 1 << 24 | _DATA_OFFSET | _DURATION_SIZE | _FLAGS_CTS
_AUDIO_TRUN = 1 << 24 | _DATA_OFFSET | _DURATION_SIZE
#: Header bytes of a traf before its sample table: traf 8, tfhd 16 (+4 with default flags), tfdt 20, trun 20.
_VIDEO_TRAF_BYTES = 64
_AUDIO_TRAF_BYTES = 68
_MOOF_BYTES = 24


class TrackRun:
    """Consecutive frames of one track in one fragment.

    A *tick* is the unit of the track: 1/90,000 s for video, one sample for audio.

    Attributes:
        base_dts_ticks: decode time of the first frame.
        table: the trun table as a flat list: (duration, size, flags, cts) for each video frame, (duration, size) for
            each audio frame.
        payload: the frames' bytes.
        duration_ticks: sum of the durations.
        size_bytes: sum of the payload.
    """

    __slots__ = ("base_dts_ticks", "duration_ticks", "payload", "size_bytes", "table", "track_id", "video")

    def __init__(self, track_id: int, base_dts_ticks: int, *, video: bool) -> None:
        self.track_id = track_id
        self.base_dts_ticks = base_dts_ticks
        self.video = video
        self.table: list[int] = []
        self.payload: list[bytes] = []
        self.duration_ticks = 0
        self.size_bytes = 0

    def add_video(self, data: bytes, duration_90k: int, cts_90k: int, *, is_key: bool) -> None:
        """Append a video frame; ``cts_90k`` (composition minus decode time) may be negative."""
        size_bytes = len(data)
        self.table += (duration_90k, size_bytes, SYNC_SAMPLE if is_key else NON_SYNC_SAMPLE, cts_90k & 0xFFFFFFFF)
        self.payload.append(data)
        self.duration_ticks += duration_90k
        self.size_bytes += size_bytes

    def add_audio(self, data: bytes, duration_samples: int) -> None:
        size_bytes = len(data)
        self.table += (duration_samples, size_bytes)
        self.payload.append(data)
        self.duration_ticks += duration_samples
        self.size_bytes += size_bytes

    def stretch_last(self, ticks: int) -> None:
        """Make the last frame longer by ``ticks``: this is how a hole in a run is written."""
        self.table[-4 if self.video else -2] += ticks
        self.duration_ticks += ticks


def write_fragment(sequence: int, runs: Sequence[TrackRun]) -> bytes:
    """Return one ``moof`` with a ``traf`` for each run, and the ``mdat`` after it.

    Args:
        sequence: sequence number in the mfhd, modulo 2^32 (a stream of single frames reaches that after years).
        runs: one or two, of different tracks, each with at least one frame.
    """
    moof_bytes = _MOOF_BYTES
    for run in runs:
        moof_bytes += (_VIDEO_TRAF_BYTES if run.video else _AUDIO_TRAF_BYTES) + 4 * len(run.table)
    pieces = [pack(">I4sI4sII", moof_bytes, b"moof", 16, b"mfhd", 0, sequence & 0xFFFFFFFF)]
    data_offset = moof_bytes + 8
    for run in runs:
        pieces.append(_traf(run, data_offset))
        data_offset += run.size_bytes
    pieces.append(pack(">I4s", data_offset - moof_bytes, b"mdat"))
    for run in runs:
        pieces += run.payload
    return b"".join(pieces)


def _traf(run: TrackRun, data_offset: int) -> bytes:
    """Return a traf with its tfhd, tfdt and trun; ``data_offset`` counts from the first byte of the moof."""
    table = run.table
    words = len(table)
    if run.video:
        return pack(
            f">I4s I4sII I4sIQ I4sIII {words}I",
            _VIDEO_TRAF_BYTES + 4 * words,
            b"traf",
            16,
            b"tfhd",
            _DEFAULT_BASE_IS_MOOF,
            run.track_id,
            20,
            b"tfdt",
            1 << 24,
            run.base_dts_ticks,
            20 + 4 * words,
            b"trun",
            _VIDEO_TRUN,
            words >> 2,
            data_offset,
            *table,
        )
    return pack(
        f">I4s I4sIII I4sIQ I4sIII {words}I",
        _AUDIO_TRAF_BYTES + 4 * words,
        b"traf",
        20,
        b"tfhd",
        _DEFAULT_BASE_IS_MOOF | _DEFAULT_SAMPLE_FLAGS,
        run.track_id,
        SYNC_SAMPLE,
        20,
        b"tfdt",
        1 << 24,
        run.base_dts_ticks,
        20 + 4 * words,
        b"trun",
        _AUDIO_TRUN,
        words >> 1,
        data_offset,
        *table,
    )
