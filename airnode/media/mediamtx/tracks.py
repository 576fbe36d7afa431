"""Which tracks of a publisher can be played, by the names that MediaMTX gives to codecs."""

from collections.abc import Sequence
from dataclasses import dataclass

_PLAYABLE_VIDEO = frozenset({"H264", "H265", "AV1"})
_PLAYABLE_AUDIO = frozenset({"MPEG-4 Audio", "MPEG-4 Audio LATM", "Opus"})
_OTHER_VIDEO = frozenset({"VP8", "VP9", "MPEG-1/2 Video", "MPEG-4 Video", "M-JPEG"})
_OTHER_AUDIO = frozenset({"MPEG-1/2 Audio", "AC3", "FLAC", "G711", "G722", "G726", "LPCM", "Speex", "Vorbis"})
#: Names that are known better.
_USUAL_NAMES = {
    "MPEG-1/2 Audio": "MP3",
    "AC3": "AC-3",
    "G711": "G.711",
    "G722": "G.722",
    "G726": "G.726",
    "LPCM": "PCM",
}
_ADVICE = "Send H.264 with AAC or Opus."


@dataclass(frozen=True, slots=True)
class TrackReport:
    """What of a publisher can be played.

    Attributes:
        refusal: why nothing or no picture can be played, for people; empty: the publisher is accepted.
        unplayable_sound: the codecs of the sound, where it cannot be played; empty: it can, or there is none.
    """

    refusal: str = ""
    unplayable_sound: str = ""


def report_tracks(names: Sequence[str]) -> TrackReport:
    """Return what can be played of these tracks; tracks of neither kind, such as KLV data, do not matter."""
    video, audio = _named(names, _OTHER_VIDEO), _named(names, _OTHER_AUDIO)
    if not names:
        return TrackReport()  # they are not known
    if video and _PLAYABLE_VIDEO.isdisjoint(names):
        return TrackReport(f"The picture is in {video}, which browsers cannot play here. {_ADVICE}")
    if _PLAYABLE_AUDIO.isdisjoint(names):
        if _PLAYABLE_VIDEO.isdisjoint(names):
            what = (
                f"The sound is in {audio}, which browsers cannot play here." if audio else "There is no track to play."
            )
            return TrackReport(f"{what} {_ADVICE}")
        return TrackReport(unplayable_sound=audio)
    return TrackReport()


def _named(names: Sequence[str], known: frozenset[str]) -> str:
    return ", ".join(_USUAL_NAMES.get(name, name) for name in names if name in known)
