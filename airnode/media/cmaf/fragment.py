"""Media fragments: ``moof`` and ``mdat`` (ISO/IEC 14496-12 8.8). The hot path of the packager."""

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
    """Consecutive samples of one track in one fragment.

    Attributes:
        base_time: decode time of the first sample, in ticks of the track.
        table: the trun table, flat: (duration, size, flags, cts) a video sample, (duration, size) an audio one.
        payload: the samples' bytes.
        duration: sum of the durations, in ticks. size: sum of the payload, in bytes.
    """

    __slots__ = ("base_time", "duration", "payload", "size", "table", "track_id", "video")

    def __init__(self, track_id: int, base_time: int, *, video: bool) -> None:
        self.track_id = track_id
        self.base_time = base_time
        self.video = video
        self.table: list[int] = []
        self.payload: list[bytes] = []
        self.duration = 0
        self.size = 0

    def add_video(self, data: bytes, duration: int, cts: int, *, key: bool) -> None:
        """Append a video sample; ``cts`` (composition minus decode time, ticks) may be negative."""
        self.table += (duration, len(data), SYNC_SAMPLE if key else NON_SYNC_SAMPLE, cts & 0xFFFFFFFF)
        self.payload.append(data)
        self.duration += duration
        self.size += len(data)

    def add_audio(self, data: bytes, duration: int) -> None:
        """Append an audio frame."""
        self.table += (duration, len(data))
        self.payload.append(data)
        self.duration += duration
        self.size += len(data)

    def stretch_last(self, ticks: int) -> None:
        """Let the last sample last longer: how a hole inside of a run is written."""
        self.table[-4 if self.video else -2] += ticks
        self.duration += ticks


def write_fragment(sequence: int, runs: Sequence[TrackRun]) -> bytes:
    """Write one ``moof`` with a ``traf`` a run, and the ``mdat`` behind it.

    Args:
        sequence: of the mfhd; taken modulo 2^32, which a stream of single frames reaches after years.
        runs: one or two, each with at least one sample and a track of its own.
    """
    moof_size = _MOOF_BYTES
    for run in runs:
        moof_size += (_VIDEO_TRAF_BYTES if run.video else _AUDIO_TRAF_BYTES) + 4 * len(run.table)
    pieces = [pack(">I4sI4sII", moof_size, b"moof", 16, b"mfhd", 0, sequence & 0xFFFFFFFF)]
    data_offset = moof_size + 8
    for run in runs:
        pieces.append(_traf(run, data_offset))
        data_offset += run.size
    pieces.append(pack(">I4s", data_offset - moof_size, b"mdat"))
    for run in runs:
        pieces += run.payload
    return b"".join(pieces)


def _traf(run: TrackRun, data_offset: int) -> bytes:
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
            run.base_time,
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
        run.base_time,
        20 + 4 * words,
        b"trun",
        _AUDIO_TRUN,
        words >> 1,
        data_offset,
        *table,
    )
