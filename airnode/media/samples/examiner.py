"""Examines every sample between an ingest and the packager.

Sans-IO. One examiner belongs to one publish. Samples that players cannot play are repaired or dropped. The content of a
frame decides whether it is a key frame, not the publisher's mark. Findings are counted in :class:`Findings`.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from airnode.media.codecs.aac import UnsupportedObjectType
from airnode.media.codecs.bits import UnsupportedCodec
from airnode.media.codecs.libav import LibavImport
from airnode.media.frames import (
    AudioCodec,
    AudioConfig,
    CodecRecord,
    ExtraTrack,
    Frame,
    IngestEvent,
    MediaEvent,
    RefusedTrack,
    TrackKind,
    VideoCodec,
    VideoConfig,
)
from airnode.media.samples import nal_syntax
from airnode.media.samples.aac_audio import AacAudio
from airnode.media.samples.av1_video import Av1Video
from airnode.media.samples.findings import Findings
from airnode.media.samples.nal_video import NalVideo
from airnode.media.samples.opus_audio import OpusAudio

#: A publisher with a track that cannot be played may have another one; it begins within this time.
OTHER_TRACK_WAIT_S: Final = 3.0
_OTHER: Final[dict[TrackKind, TrackKind]] = {"video": "audio", "audio": "video"}
_INSTEAD: Final[dict[TrackKind, str]] = {"video": "H.264", "audio": "AAC"}


class _TrackExaminer(Protocol):
    """Examines one track of one codec."""

    def configure(self, record: bytes, now_s: float) -> list[MediaEvent]:
        """Take the decoder configuration as the publisher sent it. Return the events to pass on."""
        ...

    def examine(self, frame: Frame) -> list[MediaEvent]:
        """Return the events to pass on for this frame: none, the frame, or more."""
        ...

    def overdue(self, now_s: float) -> list[MediaEvent]:
        """Return the events that have been held back for too long."""
        ...

    def finish(self) -> list[MediaEvent]:
        """Return the events that are held back, as the track ends."""
        ...


class Examiner:
    """Examines one publisher's stream.

    Args:
        libav: with it, AAC frames are decoded on trial.
    """

    def __init__(self, findings: Findings, libav: LibavImport | None = None) -> None:
        self._findings = findings
        self._libav = libav
        #: {track: (its codec, its examiner)}.
        self._tracks: dict[TrackKind, tuple[VideoCodec | AudioCodec, _TrackExaminer]] = {}
        #: {track that cannot be played: (its codec, unix time at which it came first)}.
        #: A track that plays is still in `_tracks` then: some of its messages may name another codec.
        self._refused: dict[TrackKind, tuple[str, float]] = {}

    def examine(self, events: Iterable[IngestEvent], now_s: float) -> list[MediaEvent]:
        """Return the events to pass on to the packager; ``now_s`` is the unix time.

        Raises:
            UnsupportedCodec: browsers can play no track.
        """
        passed: list[MediaEvent] = []
        for event in events:
            if isinstance(event, Frame):
                track = self._tracks.get(event.track)
                if track is not None:
                    if self._refused:
                        self._refused.pop(event.track, None)
                    passed += track[1].examine(event)
                    if event.track == "audio" and (video := self._tracks.get("video")) is not None:
                        passed += video[1].overdue(event.arrived_s)
                elif event.track in self._refused:
                    self._refuse(event.track, self._refused[event.track][0], now_s)
                else:
                    self._findings.add(event.track, "no_config", now_s)
            elif isinstance(event, CodecRecord | VideoConfig | AudioConfig):
                passed += self._configure(event.codec, event.record, now_s)
            elif isinstance(event, RefusedTrack):
                self._refuse(event.track, event.codec, now_s)
            elif isinstance(event, ExtraTrack):
                self._findings.add(event.track, "extra_track", now_s)
            else:
                passed.append(event)
        return passed

    def finish(self) -> list[MediaEvent]:
        """Return the events that are held back, as the publisher has left."""
        return [event for _, track in self._tracks.values() for event in track.finish()]

    def _configure(self, codec: VideoCodec | AudioCodec, record: bytes, now_s: float) -> list[MediaEvent]:
        kind: TrackKind = "audio" if codec in ("aac", "opus") else "video"
        current = self._tracks.get(kind)
        held: list[MediaEvent] = []
        if current is None or current[0] != codec:
            held = current[1].finish() if current is not None else []
            current = self._tracks[kind] = codec, _track_examiner(codec, self._findings, self._libav)
        try:
            configured = current[1].configure(record, now_s)
        except UnsupportedObjectType as error:
            self._tracks.pop(kind)
            self._refuse(kind, str(error), now_s)
            return held
        self._refused.pop(kind, None)
        return [*held, *configured]

    def _refuse(self, track: TrackKind, codec: str, now_s: float) -> None:
        """Leave a message out, and its track if no other message of it comes.

        Raises:
            UnsupportedCodec: browsers can play no track.
        """
        since_s = self._refused.get(track, ("", now_s))[1]
        self._refused[track] = codec, since_s
        self._findings.add(track, f"{track}_codec", now_s, codec=codec)
        if self._plays(track, now_s):
            return
        self._tracks.pop(track, None)
        other = _OTHER[track]
        if self._plays(other, now_s):
            return
        if other in self._refused or now_s - since_s >= OTHER_TRACK_WAIT_S:
            names = " and ".join(f"the codec {name}" for name, _ in self._refused.values())
            instead = " and ".join(_INSTEAD[kind] for kind in self._refused)
            raise UnsupportedCodec(f"{names[0].upper()}{names[1:]} cannot be played in browsers; send {instead}.")

    def _plays(self, track: TrackKind, now_s: float) -> bool:
        """Return whether the track has a codec that can be played, and not only messages in others for a while."""
        since_s = self._refused.get(track, ("", now_s))[1]
        return track in self._tracks and now_s - since_s < OTHER_TRACK_WAIT_S


def _track_examiner(codec: VideoCodec | AudioCodec, findings: Findings, libav: LibavImport | None) -> _TrackExaminer:
    if codec == "aac":
        return AacAudio(findings, libav)
    if codec == "opus":
        return OpusAudio(findings)
    if codec == "av1":
        return Av1Video(findings)
    return NalVideo(nal_syntax.AVC if codec == "avc" else nal_syntax.HEVC, findings)
