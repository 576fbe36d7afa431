"""Decides which tracks of a publisher can be played, by MediaMTX's names of codecs."""

from collections.abc import Sequence
from dataclasses import dataclass

from airnode.media.frames import RefusedTrack

_PLAYABLE_VIDEO = frozenset({"H264", "H265", "AV1"})
_PLAYABLE_AUDIO = frozenset({"MPEG-4 Audio", "MPEG-4 Audio LATM", "Opus"})
_OTHER_VIDEO = frozenset({"VP8", "VP9", "MPEG-1/2 Video", "MPEG-4 Video", "M-JPEG"})
_OTHER_AUDIO = frozenset({"MPEG-1/2 Audio", "AC3", "FLAC", "G711", "G722", "G726", "LPCM", "Speex", "Vorbis"})
#: {MediaMTX's name: better known name}.
_USUAL_NAMES = {
    "MPEG-1/2 Audio": "MP3",
    "AC3": "AC-3",
    "G711": "G.711",
    "G722": "G.722",
    "G726": "G.726",
    "LPCM": "PCM",
}


@dataclass(frozen=True, slots=True)
class TrackReport:
    """Which tracks of a publisher can be played.

    Attributes:
        refused: tracks that cannot be played, if no other track of their kind can.
        is_playable: False if there is video but none can be played, or if there is only sound and none can be played.
    """

    refused: tuple[RefusedTrack, ...] = ()
    is_playable: bool = True


def report_tracks(names: Sequence[str]) -> TrackReport:
    """Return the report about these tracks; tracks that are neither video nor audio, such as KLV data, do not count."""
    video, audio = _named(names, _OTHER_VIDEO), _named(names, _OTHER_AUDIO)
    has_video, has_audio = not _PLAYABLE_VIDEO.isdisjoint(names), not _PLAYABLE_AUDIO.isdisjoint(names)
    refused = []
    if video and not has_video:
        refused.append(RefusedTrack("video", video))
    if audio and not has_audio:
        refused.append(RefusedTrack("audio", audio))
    return TrackReport(tuple(refused), has_video or (has_audio and not video) or not refused)


def _named(names: Sequence[str], known: frozenset[str]) -> str:
    return ", ".join(_USUAL_NAMES.get(name, name) for name in names if name in known)
