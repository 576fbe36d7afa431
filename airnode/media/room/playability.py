"""Decides whether a published room can be played, and why not. The reason is an alarm: nobody can watch this room.

::

    publisher joins ──5 s without a playable frame──▶ not playable (reason) ──a playable frame──▶ playable
"""

from dataclasses import dataclass
from typing import Final

from airnode.bus.messages import Notice
from airnode.errors import AirnodeError
from airnode.media.samples.findings import KINDS, Findings

#: A room without a playable frame for this long causes an alarm.
UNPLAYABLE_AFTER_S: Final = 5.0

#: {code: reason why nothing can be played, and what to do}. The pages have texts for these codes.
REASONS: Final = {
    "unplayable_codec": "The encoder's codec cannot be played. Choose H.264 and AAC in the encoder.",
    "unplayable_no_config": (
        "Frames come without their configuration. Restart the encoder's stream; "
        "if that does not help, choose H.264 and AAC in it."
    ),
    "unplayable_no_key_frame": "No key frame comes. Set the encoder's key frame interval to 2 s.",
    "unplayable_invalid": "The frames that come cannot be decoded. Restart the encoder's stream, or update it.",
    "unplayable_only_sound": "Only sound is announced, and none comes. Check the encoder's sources.",
    "unplayable_no_frames": "Picture and sound are announced, and no frames come. Check the encoder's sources.",
    "unplayable_no_media": "The encoder is connected and sends nothing. Check its sources, and start its stream again.",
}
_CODECS: Final = frozenset({"video_codec", "audio_codec", "latm"})


class NotPlayable(AirnodeError):
    """A room has a publisher, but nothing in it can be played."""

    code, title, status = "not_playable", "Nothing to play", 503

    def __init__(self, code: str) -> None:
        super().__init__(REASONS[code])
        self.code = code

    @property
    def notice(self) -> Notice:
        """Return this reason as a notice for the pages."""
        return Notice(self.code, self.detail)


@dataclass(frozen=True, slots=True)
class Received:
    """What a room's packager received from the publisher.

    Attributes:
        video, audio: the configuration of this track has arrived.
        frame_s: unix time of the last usable frame. playable_s: of the last playable frame.
        waits_for_key: frames come, but no key frame.
    """

    video: bool
    audio: bool
    frame_s: float
    playable_s: float
    waits_for_key: bool


def why_not_playable(now_s: float, published_s: float, received: Received, findings: Findings) -> NotPlayable | None:
    """Return why nothing has been playable for 5 s; None: a playable frame has come.

    Args:
        now_s: unix time. published_s: unix time at which the publisher joined.
    """
    since_s = max(published_s, received.playable_s)
    if now_s - since_s < UNPLAYABLE_AFTER_S:
        return None
    seen = findings.seen_since(since_s)
    if received.frame_s > since_s and received.waits_for_key:
        return NotPlayable("unplayable_no_key_frame")
    if seen & _CODECS:
        return NotPlayable("unplayable_codec")
    if "no_config" in seen or "config_invalid" in seen:
        return NotPlayable("unplayable_no_config")
    if any(KINDS[code].action == "dropped" and code != "empty" for code in seen):
        return NotPlayable("unplayable_invalid")
    if received.playable_s < published_s and (received.video or received.audio):
        return NotPlayable("unplayable_no_frames" if received.video else "unplayable_only_sound")
    return NotPlayable("unplayable_no_media")
