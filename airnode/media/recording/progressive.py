"""Presents a recording as one regular MP4, with ``moov`` in front, without copying the media (ISO/IEC 14496-12).

The file begins with a head, which is made from the tables of the fragments. The recorded bytes follow unchanged. The
``mdat`` contains all of them; the chunk offsets skip the headers of the fragments, which are a few percent of the
bytes. So any byte range can be answered from the head and the recorded file.

Each run of a fragment becomes a chunk. If the resolution, the profile, the channels or the sample rate change during
the recording, the track gets another sample entry (times are converted to the timescale of the track). Only another
codec becomes another track. If media are missing (the publisher was away, or segments were left out), the picture
before the gap lasts longer, and the sound gets silence (:mod:`.silent_frames`). If a track begins later than the
others, or with composition offsets, it gets an edit list.

Chromium uses the first sample entry for all samples. It only plays across a change because key frames contain their
parameter sets (:class:`~airnode.media.cmaf.segmenter.Segmenter`); ffmpeg also reads the other entries.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from struct import pack, unpack_from
from sys import byteorder

from airnode.media.cmaf.bmff import VIDEO_TIMESCALE, box, full_box
from airnode.media.recording.fragment_reader import Malformed, Run, TrackHeader, read_init, read_moof
from airnode.media.recording.index import SegmentIndex
from airnode.media.recording.silent_frames import SilentBlock, SilentFrames

#: Seconds from 1904, the epoch of MP4, to 1970.
_MP4_EPOCH_S = 2_082_844_800
#: Bytes to read at the start of each fragment: its header is usually shorter.
_HEADER_BYTES = 2048
_MATRIX = pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
#: If the media are larger, chunk offsets have 64 bits; the rest up to 4 GiB is for the head.
_MAX_OFFSET_BYTES = (1 << 32) - (256 << 20)
#: The first displayed sample is one of the first samples, at most this many.
_REORDERED = 32
_MAX_TICKS = (1 << 32) - 1
#: A longer hole in the sound gets no silence: more than an hour at 48 kHz.
_MAX_SILENT_FRAMES = 200_000

#: ``read(offset, size)`` returns bytes of the recorded file; fewer bytes at its end.
Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class ProgressiveMp4:
    """The MP4 file: ``head``, then ``size_bytes`` of the recorded file, starting at ``offset_bytes``.

    The head ends with the header of the ``mdat`` and the silent frames in it.
    """

    head: bytes
    offset_bytes: int
    size_bytes: int


@dataclass(slots=True)
class _OutputTrack:
    """A track of the MP4 file."""

    header: TrackHeader
    entries: list[bytes]
    start: int
    end: int
    durations: "array[int]" = field(default_factory=lambda: array("I"))
    sizes: "array[int]" = field(default_factory=lambda: array("I"))
    cts: "array[int]" = field(default_factory=lambda: array("i"))
    sync: "array[int]" = field(default_factory=lambda: array("I"))
    #: For each chunk: its position in the recorded file.
    offsets: list[int] = field(default_factory=list)
    #: For each chunk: (number of samples, number of the sample entry).
    chunks: list[tuple[int, int]] = field(default_factory=list)
    #: Sum of the holes minus the silence in them.
    unfilled: int = 0

    def add(self, run: Run, header: TrackHeader, at: int, silence: SilentFrames) -> None:
        """Append a run whose samples are at the position ``at`` of the recorded file. A hole in sound is filled."""
        if header.entry not in self.entries:
            self.entries.append(header.entry)
        base, durations = run.base_ticks, run.durations
        if header.timescale != self.header.timescale:
            base, durations = self._converted(run, header.timescale)
        elif self.sizes and base > self.end and header.handler == b"soun":
            silent = silence.block(header.entry)
            if silent is not None:
                self._fill(base - self.end, silent, self.entries.index(header.entry) + 1)
        if self.sizes:
            self._join(base)
        first = len(self.sizes)
        self.durations.extend(durations)
        self.sizes.extend(run.sizes)
        self.cts.extend(run.cts or bytes(len(run.sizes)))
        self.sync.extend(
            range(first + 1, len(self.sizes) + 1) if run.sync is None else (first + n + 1 for n in run.sync)
        )
        self.end = base + sum(durations)
        self.offsets.append(at)
        self.chunks.append((len(run.sizes), self.entries.index(header.entry) + 1))

    def _converted(self, run: Run, timescale: int) -> tuple[int, list[int]]:
        """Return (first decode time, durations) in ticks of this track. Rounding errors do not accumulate."""
        wanted = self.header.timescale
        times, time = [run.base_ticks * wanted // timescale], run.base_ticks
        for duration in run.durations:
            time += duration
            times.append(time * wanted // timescale)
        return times[0], [after - before for before, after in pairwise(times)]

    def _fill(self, hole: int, silent: SilentBlock, entry: int) -> None:
        """Fill a hole with whole frames. What is left of all holes together is at most half a frame."""
        ticks = silent.frame_ticks
        frames = min((hole + self.unfilled + ticks // 2) // ticks, -(-hole // ticks))
        if frames > _MAX_SILENT_FRAMES:
            return
        frames = max(frames, 0)
        self.unfilled += hole - frames * ticks
        if not frames:
            return
        first = len(self.sizes)
        self.durations.extend([ticks] * (frames - 1) + [hole - ticks * (frames - 1)])
        self.sizes.extend([silent.frame_bytes] * frames)
        self.cts.extend(bytes(frames))
        self.sync.extend(range(first + 1, first + frames + 1))
        self.end += hole
        for samples in silent.chunks(frames):
            self.offsets.append(silent.at)
            self.chunks.append((samples, entry))

    def _join(self, base: int) -> None:
        """Extend the last sample until the next one begins."""
        last = self.durations[-1] + base - self.end
        if last < 0:
            raise Malformed("decode times go back")
        self.durations[-1] = min(last, _MAX_TICKS)

    @property
    def shown_from(self) -> int:
        """Return the composition time of the first displayed sample, in ticks from the start of the track."""
        time, first = 0, self.cts[0]
        for duration, cts in zip(self.durations[:_REORDERED], self.cts[:_REORDERED], strict=True):
            first, time = min(first, time + cts), time + duration
        return max(first, 0)

    @property
    def duration(self) -> int:
        """Return the duration in ticks."""
        return sum(self.durations)


def build_progressive(index: SegmentIndex, read: Read) -> ProgressiveMp4:
    """Return the MP4 file of the recording, as far as it is written.

    This reads the headers of all fragments, so it must not run on the event loop.

    Raises:
        Malformed: the recorded file does not match the index, or is still empty.
        OSError: the recorded file cannot be read.
    """
    if not index.segments:
        raise Malformed("nothing is recorded yet")
    silence = SilentFrames(index.segments[0].offset_bytes)
    output_tracks = _output_tracks(index, read, silence)
    if not output_tracks:
        raise Malformed("there are no samples")
    first, last = index.segments[0], index.segments[-1]
    size = last.offset_bytes + last.size_bytes - first.offset_bytes
    wide = size > _MAX_OFFSET_BYTES
    tables = [_tables(track) for track in output_tracks]
    mdat_bytes = len(silence.data) + size
    head_bytes = len(_head(index, output_tracks, tables, mdat_bytes, 0, wide=wide)) + len(silence.data)
    head = _head(index, output_tracks, tables, mdat_bytes, head_bytes - first.offset_bytes, wide=wide)
    return ProgressiveMp4(head + silence.data, first.offset_bytes, size)


def _output_tracks(index: SegmentIndex, read: Read, silence: SilentFrames) -> list[_OutputTrack]:
    inits = [
        {header.track_id: header for header in read_init(read(each.offset_bytes, each.size_bytes))}
        for each in index.inits
    ]
    #: {(handler, codec): track of the MP4 file}.
    output_tracks: dict[tuple[bytes, bytes], _OutputTrack] = {}
    for number, segment in enumerate(index.segments):
        tracks = inits[index.init_of[number]]
        at, end = segment.offset_bytes, segment.offset_bytes + segment.size_bytes
        while at < end:
            runs, fragment_bytes = _fragment(read, at, end)
            for run in runs:
                header = tracks.get(run.track_id)
                if header is None:
                    raise Malformed("a run is of a track that there is not")
                key = header.handler, header.entry[4:8]
                track = output_tracks.get(key)
                if track is None:
                    track = output_tracks[key] = _OutputTrack(header, [], run.base_ticks, run.base_ticks)
                track.add(run, header, at + run.data_offset, silence)
            at += fragment_bytes
    return sorted(output_tracks.values(), key=lambda track: track.header.handler != b"vide")


def _fragment(read: Read, at: int, end: int) -> tuple[list[Run], int]:
    """Return the runs of the fragment at ``at``, and the fragment's length in bytes, including its mdat."""
    head = read(at, min(_HEADER_BYTES, end - at))
    if len(head) < 16:
        raise Malformed("a fragment is cut off")
    moof_bytes = unpack_from(">I", head)[0]
    if not 8 <= moof_bytes <= end - at - 8:
        raise Malformed("a moof does not fit")
    if len(head) < moof_bytes + 8:
        head = read(at, moof_bytes + 8)
    if len(head) < moof_bytes + 8:
        raise Malformed("a fragment is cut off")
    mdat_bytes, kind = unpack_from(">I4s", head, moof_bytes)
    if kind != b"mdat" or not 8 <= mdat_bytes <= end - at - moof_bytes:
        raise Malformed("a mdat does not fit")
    return read_moof(head[:moof_bytes]), moof_bytes + mdat_bytes


# -- writing ----------------------------------------------------------------------------------------------------------


def _head(
    index: SegmentIndex,
    output_tracks: Sequence[_OutputTrack],
    tables: Sequence[bytes],
    mdat_bytes: int,
    shift: int,
    *,
    wide: bool,
) -> bytes:
    """Return the bytes before the media; ``shift``: offset in this file minus offset in the recorded file."""
    created = int(index.begun.started_at) + _MP4_EPOCH_S
    begin = min(_ticks(track.start + track.shown_from, track) for track in output_tracks)
    traks, duration = [], 0
    for number, (track, table) in enumerate(zip(output_tracks, tables, strict=True), 1):
        delay = _ticks(track.start + track.shown_from, track) - begin
        shown = _ticks(track.duration - track.shown_from, track)
        duration = max(duration, delay + shown)
        traks.append(_trak(track, number, created, delay, shown, table + _chunk_offsets(track, shift, wide=wide)))
    times = pack(">QQIQ", created, created, VIDEO_TIMESCALE, duration)
    mvhd = full_box(
        b"mvhd", 1, 0, times, pack(">IH10x", 0x10000, 0x100), _MATRIX, bytes(24), pack(">I", len(output_tracks) + 1)
    )
    ftyp = box(b"ftyp", b"isom", pack(">I", 0x200), b"isom", b"iso2", b"mp41", b"mp42")
    mdat = pack(">I4sQ", 1, b"mdat", mdat_bytes + 16) if wide else pack(">I4s", mdat_bytes + 8, b"mdat")
    return ftyp + box(b"moov", mvhd, *traks) + mdat


def _ticks(time: int, track: _OutputTrack) -> int:
    """Return a time of the track in ticks of the movie (90 kHz)."""
    return time * VIDEO_TIMESCALE // track.header.timescale


def _trak(track: _OutputTrack, number: int, created: int, delay: int, shown: int, stbl: bytes) -> bytes:
    header, video = track.header, track.header.handler == b"vide"
    alternate_group, volume = (0, 0) if video else (1, 0x100)
    name = b"VideoHandler\0" if video else b"SoundHandler\0"
    tkhd = full_box(
        b"tkhd",
        1,
        3,
        pack(">QQIIQ8xHHHH", created, created, number, 0, delay + shown, 0, alternate_group, volume, 0),
        _MATRIX,
        pack(">II", header.width, header.height),
    )
    edits = [(delay, -1)] if delay else []
    edits.append((shown, track.shown_from))
    elst = b"".join(pack(">QqI", length, at, 0x10000) for length, at in edits)
    mdhd = full_box(b"mdhd", 1, 0, pack(">QQIQHH", created, created, header.timescale, track.duration, 0x55C4, 0))
    hdlr = full_box(b"hdlr", 0, 0, bytes(4), header.handler, bytes(12), name)
    dinf = box(b"dinf", full_box(b"dref", 0, 0, pack(">I", 1), full_box(b"url ", 0, 1)))
    return box(
        b"trak",
        tkhd,
        box(b"edts", full_box(b"elst", 1, 0, pack(">I", len(edits)), elst)),
        box(b"mdia", mdhd, hdlr, box(b"minf", header.media_header, dinf, box(b"stbl", stbl))),
    )


def _tables(track: _OutputTrack) -> bytes:
    """Return the sample tables that do not depend on the offsets of the samples."""
    made = [full_box(b"stsd", 0, 0, pack(">I", len(track.entries)), *track.entries)]
    made.append(_run_lengths(b"stts", 0, track.durations))
    if any(track.cts):
        made.append(_run_lengths(b"ctts", 1 if min(track.cts) < 0 else 0, track.cts))
    if len(track.sync) < len(track.sizes):
        made.append(full_box(b"stss", 0, 0, pack(">I", len(track.sync)), _big_endian(track.sync)))
    made.append(_sample_to_chunk(track))
    made.append(full_box(b"stsz", 0, 0, pack(">II", 0, len(track.sizes)), _big_endian(track.sizes)))
    return b"".join(made)


def _run_lengths(kind: bytes, version: int, values: "array[int]") -> bytes:
    flat = array("I")
    for value, group in groupby(values):
        flat.extend((sum(1 for _ in group), value & 0xFFFFFFFF))
    return full_box(kind, version, 0, pack(">I", len(flat) // 2), _big_endian(flat))


def _sample_to_chunk(track: _OutputTrack) -> bytes:
    flat, chunk = array("I"), 1
    for (samples, entry), group in groupby(track.chunks):
        flat.extend((chunk, samples, entry))
        chunk += sum(1 for _ in group)
    return full_box(b"stsc", 0, 0, pack(">I", len(flat) // 3), _big_endian(flat))


def _chunk_offsets(track: _OutputTrack, shift: int, *, wide: bool) -> bytes:
    # The first call only measures the length of the head. Its shift is wrong, so offsets may be negative.
    offsets = array("Q" if wide else "I", [max(at + shift, 0) for at in track.offsets])
    return full_box(b"co64" if wide else b"stco", 0, 0, pack(">I", len(offsets)), _big_endian(offsets))


def _big_endian(values: "array[int]") -> bytes:
    if byteorder == "little":
        values = values[:]
        values.byteswap()
    return values.tobytes()
