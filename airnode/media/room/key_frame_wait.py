"""Limits the time for which a period waits for its first key frame."""

from airnode.errors import InvalidInput
from airnode.media.frames import Frame

#: A publisher is disconnected after it has sent video without a key frame, and no sound, for this long.
KEY_FRAME_WAIT_S = 15.0
KEY_FRAME_WAIT_BYTES = 32 << 20
#: If video has no key frame for this long, sound continues without it: at the start of a stream, and later.
FIRST_KEY_WAIT_S, LATER_KEY_WAIT_S = 3.0, 10.0


class KeyFrameMissing(InvalidInput):
    """The publisher sent video for a long time without a key frame, so it is disconnected."""

    code, title = "key_frame_missing", "No key frame"


class KeyFrameWait:
    """Measures the time and the bytes before the first key frame of a period."""

    def __init__(self) -> None:
        #: Arrival time of the first frame; None: no frame has come yet.
        self._since_s: float | None = None
        self._bytes = 0

    def ends_with(self, frame: Frame, *, had_video: bool) -> bool:
        """Return whether the wait ends with this frame: sound continues without video.

        Args:
            had_video: this publisher has sent a key frame before.

        Raises:
            KeyFrameMissing: the wait was too long, and there is no sound either.
        """
        if self._since_s is None:
            self._since_s = frame.arrived_s
        self._bytes += len(frame.data)
        waited_s = frame.arrived_s - self._since_s
        if frame.track == "audio":
            return waited_s > (LATER_KEY_WAIT_S if had_video else FIRST_KEY_WAIT_S)
        if waited_s > KEY_FRAME_WAIT_S or self._bytes > KEY_FRAME_WAIT_BYTES:
            raise KeyFrameMissing(
                f"The publisher sent no video key frame for {waited_s:.0f} s. "
                "Set the encoder's key frame interval to 2 s."
            )
        return False
