"""Findings in a publisher's samples: their kinds, the action for each kind, and the sentence for the teacher.

The codes are label values of a metric and keys of the pages' texts (``finding.<code>`` in ``airnode/ui/src/i18n``).
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

import prometheus_client
import structlog

from airnode.bus.messages import Notice
from airnode.kernel.logging import LogLimiter
from airnode.media.frames import TrackKind

log = structlog.get_logger(__name__)

#: Least time between two log lines of one kind.
LOG_EVERY_S = 60.0
#: A kind is reported for this long after it was last seen.
REPORT_S = 60.0

Action = Literal["repaired", "dropped", "noted"]


@dataclass(frozen=True, slots=True)
class FindingKind:
    """One kind of finding.

    Attributes:
        action: the sample (or configuration) is repaired or dropped, or the finding is only noted.
        sentence: describes the problem, and the change to make at the encoder; it may contain fields in braces.
    """

    action: Action
    sentence: str


_REPORT_IT = "Update the encoder, or report it to its maker."

#: {code: kind}. Bounded: these are all values of the metric's label ``reason``.
KINDS: Final[dict[str, FindingKind]] = {
    "empty": FindingKind("dropped", f"The encoder sends empty messages; they are skipped. {_REPORT_IT}"),
    "empty_nal": FindingKind("repaired", f"Frames contain empty NAL units; they are removed. {_REPORT_IT}"),
    "stray_bytes": FindingKind("repaired", f"There are stray bytes behind frames; they are removed. {_REPORT_IT}"),
    "invalid_nal": FindingKind("repaired", f"Frames contain invalid NAL units; they are removed. {_REPORT_IT}"),
    "cut_slices": FindingKind(
        "repaired", "A picture lost its end; the part that came is shown. Check the encoder's log and its network."
    ),
    "cut_frame": FindingKind(
        "dropped", "A picture came cut off and was left out. Check the encoder's log and its network."
    ),
    "reference_lost": FindingKind(
        "dropped",
        "A picture was lost, and the pictures that refer to it are left out until the next key frame. "
        "Check the encoder's log and its network, and set a key frame interval of 1-2 s.",
    ),
    "too_many_units": FindingKind(
        "dropped", f"Frames consist of thousands of units; only the first ones are read. {_REPORT_IT}"
    ),
    "annexb": FindingKind(
        "repaired", "The encoder sends H.264 in the Annex B form, which RTMP does not allow; it is converted."
    ),
    "length_size": FindingKind("repaired", "The encoder writes sizes of less than 4 bytes; they are converted."),
    "config_as_frame": FindingKind(
        "repaired", f"The encoder sends its configuration as a frame; it is not played. {_REPORT_IT}"
    ),
    "config_repaired": FindingKind(
        "repaired", f"The encoder's configuration has wrong fields; what its SPS says is used. {_REPORT_IT}"
    ),
    "config_in_band": FindingKind(
        "repaired", "The encoder sends its configuration only inside of the frames; it is taken from there."
    ),
    "config_invalid": FindingKind(
        "dropped", "A configuration of the encoder cannot be read and is ignored. Restart the encoder's stream."
    ),
    "no_config": FindingKind(
        "dropped",
        "Frames came without a configuration and cannot be played. Restart the encoder's stream; "
        "if that does not help, choose H.264 and AAC in it.",
    ),
    "headers_apart": FindingKind(
        "repaired", "The encoder sends headers apart from their pictures; they are joined. No change is needed."
    ),
    "no_picture": FindingKind("dropped", f"Video messages without a picture are skipped. {_REPORT_IT}"),
    "picture_split": FindingKind(
        "repaired",
        "The encoder sends pictures in several messages; they are joined, which adds one frame of delay. "
        "Set one slice per picture in the encoder.",
    ),
    "picture_part_lost": FindingKind(
        "dropped", "A part of a picture came without its beginning. Set one slice per picture in the encoder."
    ),
    "key_not_marked": FindingKind(
        "repaired", f"The encoder does not mark its key frames; they are found all the same. {_REPORT_IT}"
    ),
    "key_mark_wrong": FindingKind(
        "repaired",
        "The encoder marks frames as key frames that are none. Set a key frame interval of 1-2 s, with IDR frames.",
    ),
    "codec_changed": FindingKind(
        "noted",
        "The codec of the picture changed. The class and the page of the recording show it; the downloaded file shows "
        "in browsers only the picture up to there. Keep one codec throughout a class.",
    ),
    "leading_pictures": FindingKind(
        "dropped", "Pictures that refer to what is before a key frame are left out. Switch open GOP off in the encoder."
    ),
    "open_gop": FindingKind(
        "noted",
        "The key frames are no IDR frames (open GOP): students who join late may see no picture. "
        "Switch open GOP off in the encoder.",
    ),
    "intra_refresh": FindingKind(
        "noted",
        "The encoder refreshes the picture bit by bit and sends no key frames: students who join late see it complete "
        "itself, or in some browsers none. Switch intra refresh off and set a key frame interval of 1-2 s.",
    ),
    "invalid_audio": FindingKind("dropped", f"Audio frames that cannot be decoded are left out. {_REPORT_IT}"),
    "adts": FindingKind("repaired", "The encoder sends AAC with ADTS headers; they are removed."),
    "latm": FindingKind(
        "dropped", "The sound is AAC in LATM, which cannot be played. Choose plain AAC (AAC-LC) in the encoder."
    ),
    "video_codec": FindingKind(
        "dropped",
        "The picture comes in the codec {codec}, which browsers cannot play. Choose H.264 as the video encoder.",
    ),
    "audio_codec": FindingKind(
        "dropped",
        "The sound comes in the codec {codec}, which browsers cannot play. Choose AAC as the audio encoder.",
    ),
    "extra_track": FindingKind(
        "dropped", "The encoder sends more than one track of sound or of picture; the first one is played."
    ),
    "channels_wrong": FindingKind(
        "repaired", "The encoder announces another number of audio channels than it sends; what it sends is played."
    ),
    "clock_stuck": FindingKind(
        "repaired",
        "The encoder's timestamps stand still; times of arrival are used, so picture and sound may stutter. "
        "Restart the encoder's stream, and switch on its own timestamps.",
    ),
    "clock_jumps": FindingKind(
        "repaired",
        "The encoder's timestamps jump again and again; times of arrival are used, so picture and sound may stutter. "
        "Restart the encoder's stream, and switch on its own timestamps.",
    ),
    "clock_speed": FindingKind(
        "repaired",
        "The encoder's timestamps run at another speed than its sound; times of arrival are used, so picture and sound "
        "may stutter. Restart the encoder's stream, and switch on its own timestamps.",
    ),
    "sound_waits": FindingKind(
        "dropped",
        "Sound began after the picture; it can be played from the next key frame on, and none comes. "
        "Set a key frame interval of 1-2 s.",
    ),
    "composition_offset": FindingKind(
        "repaired",
        "Frames have impossible presentation times, which are corrected. Set the encoder's number of B-frames to 0.",
    ),
}


class Findings:
    """Counts the findings in one publisher's stream, and logs each kind once every :data:`LOG_EVERY_S` at most.

    Args:
        room: for the log.
        counter: the metric, with the labels ``track`` and ``reason``.
    """

    def __init__(self, room: str = "", counter: prometheus_client.Counter | None = None) -> None:
        self._counter = counter
        #: {(track, code): number of findings}. Bounded by :data:`KINDS`.
        self.counts: Counter[tuple[TrackKind, str]] = Counter()
        #: {code: unix time at which it was last seen}.
        self._last_s: dict[str, float] = {}
        #: {code: the values in its sentence}.
        self._fields: dict[str, dict[str, str | int | float]] = {}
        self._log = log.bind(room=room) if room else log
        self._limiter = LogLimiter(LOG_EVERY_S)

    def add(self, track: TrackKind, code: str, now_s: float, **fields: str | float) -> None:
        """Count one finding of this kind, at the unix time ``now_s``; ``fields`` are the values in its sentence."""
        kind = KINDS[code]
        self.counts[track, code] += 1
        if self._counter is not None:
            self._counter.labels(track, code).inc()
        self._last_s[code] = now_s
        if fields:
            self._fields[code] = {**fields}
        left_out = self._limiter.held_back(f"{track} {code}", now_s)
        if left_out is not None:
            self._log.warning(
                f"sample_{kind.action}", track=track, reason=code, left_out=left_out, hint=self._sentence(code)
            )

    def seen_since(self, since_s: float) -> set[str]:
        """Return the codes of the kinds that were seen after the unix time ``since_s``."""
        return {code for code, last_s in self._last_s.items() if last_s > since_s}

    def notices(self, now_s: float) -> list[Notice]:
        """Return a notice for each kind that was seen in the last :data:`REPORT_S` before the unix time ``now_s``."""
        recent = [code for code, last_s in self._last_s.items() if now_s - last_s <= REPORT_S]
        return [Notice(code, self._sentence(code), self._fields.get(code, {}), "warning") for code in recent]

    def _sentence(self, code: str) -> str:
        return KINDS[code].sentence.format_map(self._fields.get(code, {}))
