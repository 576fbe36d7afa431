"""Between every ingest and the packager: no sample is passed on unexamined.

Sans-IO. One examiner belongs to one publish. Samples that players would stumble over are repaired or dropped, and
whether a frame is a key frame is decided by what is in it. What was odd is counted in :class:`Findings`.
"""

from collections.abc import Iterable
from typing import Protocol

from airnode.media.frames import (
    AudioCodec,
    Frame,
    IngestEvent,
    MediaEvent,
    StreamMetadata,
    TrackKind,
    VideoCodec,
)
from airnode.media.samples import nal_syntax
from airnode.media.samples.aac_audio import AacAudio
from airnode.media.samples.av1_video import Av1Video
from airnode.media.samples.findings import Findings
from airnode.media.samples.nal_video import NalVideo
from airnode.media.samples.opus_audio import OpusAudio


class _TrackExaminer(Protocol):
    """Examines one track of one codec."""

    def configure(self, record: bytes, now_s: float) -> list[MediaEvent]:
        """Take the decoder configuration as it came."""
        ...

    def examine(self, frame: Frame) -> list[MediaEvent]:
        """Take a frame. Return what can be passed on: nothing, the frame, or more."""
        ...

    def finish(self) -> list[MediaEvent]:
        """Return what is held back."""
        ...


class Examiner:
    """Examines one publisher's stream."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        #: {track: (its codec, what examines it)}.
        self._tracks: dict[TrackKind, tuple[VideoCodec | AudioCodec, _TrackExaminer]] = {}

    def examine(self, events: Iterable[IngestEvent], now_s: float) -> list[MediaEvent]:
        """Return what can be passed on to the packager; ``now_s`` is the unix time.

        Raises:
            UnsupportedCodec: browsers cannot play what the publisher announces.
        """
        passed: list[MediaEvent] = []
        for event in events:
            if isinstance(event, Frame):
                track = self._tracks.get(event.track)
                if track is None:
                    self._findings.add(event.track, "no_config", now_s)
                else:
                    passed += track[1].examine(event)
            elif isinstance(event, StreamMetadata):
                passed.append(event)
            else:
                passed += self._configure(event.codec, event.record, now_s)
        return passed

    def finish(self) -> list[MediaEvent]:
        """Return what is held back: the publisher has left."""
        return [event for _, track in self._tracks.values() for event in track.finish()]

    def _configure(self, codec: VideoCodec | AudioCodec, record: bytes, now_s: float) -> list[MediaEvent]:
        kind: TrackKind = "audio" if codec in ("aac", "opus") else "video"
        current = self._tracks.get(kind)
        held: list[MediaEvent] = []
        if current is None or current[0] != codec:
            held = current[1].finish() if current is not None else []
            current = self._tracks[kind] = codec, _track_examiner(codec, self._findings)
        return [*held, *current[1].configure(record, now_s)]


def _track_examiner(codec: VideoCodec | AudioCodec, findings: Findings) -> _TrackExaminer:
    if codec == "aac":
        return AacAudio(findings)
    if codec == "opus":
        return OpusAudio(findings)
    if codec == "av1":
        return Av1Video(findings)
    return NalVideo(nal_syntax.AVC if codec == "avc" else nal_syntax.HEVC, findings)
