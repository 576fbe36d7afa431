"""One publishing browser, without I/O: what it may send when, how much of it, and what is acknowledged.

::

    greeting ──publish──▶ deciding ──accept()──▶ publishing ──stop, an error, a timeout──▶ (the caller closes)
"""

from dataclasses import dataclass
from typing import Final, Literal

from airnode.config.sections.browser import BrowserSection
from airnode.media.browser.errors import FramingViolation, TooFast, TooSlow
from airnode.media.browser.framing import Ack, Publish, Stop, parse_binary, parse_text
from airnode.media.frames import CodecRecord, Frame, TrackKind

#: The rates are averages over this time: a browser sends what a stalled uplink held back at once.
RATE_WINDOW_S: Final = 5.0
#: Text messages count as so many bytes more, so that they cost their sender something.
_MESSAGE_BYTES: Final = 16
#: Most timestamps of one track that do not increase, in a row, before the connection ends.
_MAX_BACKWARD: Final = 100

State = Literal["greeting", "deciding", "publishing"]


@dataclass(slots=True)
class InflowLimit:
    """A token bucket: ``rate_per_s`` on average, and `RATE_WINDOW_S` of it at once."""

    rate_per_s: float
    left: float = 0.0
    at_s: float = 0.0

    def take(self, amount: float, now_s: float) -> bool:
        """Return whether ``amount`` is within the limit, and take it."""
        most = self.rate_per_s * RATE_WINDOW_S
        self.left = min(most, self.left + (now_s - self.at_s) * self.rate_per_s) - amount
        self.at_s = now_s
        return self.left >= 0


class BrowserSession:
    """The server's side of the protocol. Times ``now_s`` are monotonic seconds.

    Attributes:
        state: see the diagram.
        dropped: frames that were left out because their timestamps did not increase.
    """

    def __init__(self, section: BrowserSection, now_s: float) -> None:
        self._section = section
        self.state: State = "greeting"
        self.dropped = 0
        self._heard_s = self._since_s = now_s
        self._messages = InflowLimit(section.max_messages_per_s, at_s=float("-inf"))
        self._bits = InflowLimit(section.max_bitrate_bps, at_s=float("-inf"))
        self._received_messages = self._received_bytes = 0
        self._acked_messages = 0
        self._acked_s = now_s
        self._key_wanted_s = float("-inf")
        #: {track: the last timestamp}, and the number of frames in a row that were not later.
        self._last_90k: dict[TrackKind, int] = {}
        self._backward = 0

    def receive_text(self, text: str, now_s: float) -> Publish | Stop:
        """Return a valid text message.

        Raises:
            AirnodeError: it breaks a rule or a limit.
        """
        self._count(len(text) + _MESSAGE_BYTES, now_s)
        message = parse_text(text)
        if isinstance(message, Publish):
            if self.state != "greeting":
                raise FramingViolation("order", "A connection publishes once; connect again.")
            self.state = "deciding"
        elif self.state != "publishing":
            raise FramingViolation("order", "Publish first.")
        return message

    def receive_binary(self, data: bytes, now_s: float, arrived_s: float) -> CodecRecord | Frame | None:
        """Return the configuration or frame of a message; None: it is left out. ``arrived_s`` is the unix time.

        Raises:
            AirnodeError: it breaks a rule or a limit.
        """
        self._count(len(data) + _MESSAGE_BYTES, now_s)
        if self.state != "publishing":
            raise FramingViolation("order", "Media came before the publish was accepted.")
        self._received_messages += 1
        self._received_bytes += len(data)
        event = parse_binary(data, arrived_s)
        if isinstance(event, Frame) and not self._is_later(event):
            return None
        return event

    def accept(self, now_s: float) -> None:
        """Begin to receive media."""
        self.state = "publishing"
        self._heard_s = self._since_s = self._acked_s = now_s

    def due_ack(self, now_s: float) -> Ack | None:
        """Return an acknowledgement if it is time for one."""
        if now_s - self._acked_s < self._section.ack_interval_ms / 1000:
            return None
        if self._received_messages == self._acked_messages:
            return None
        self._acked_s, self._acked_messages = now_s, self._received_messages
        return Ack(self._received_messages, self._received_bytes)

    def may_request_key(self, now_s: float) -> bool:
        """Return whether a key frame may be requested now, and count it as requested."""
        if self.state != "publishing" or now_s - self._key_wanted_s < self._section.key_frame_request_s:
            return False
        self._key_wanted_s = now_s
        return True

    def require_alive(self, now_s: float) -> None:
        """Raise TooSlow when the peer has sent nothing for too long."""
        if self.state == "greeting" and now_s - self._since_s > self._section.hello_timeout_s:
            raise TooSlow("The first message, with the stream key, did not come in time.")
        if self.state == "publishing" and now_s - self._heard_s > self._section.idle_timeout_s:
            raise TooSlow("Nothing came for too long.")

    def _count(self, size_bytes: int, now_s: float) -> None:
        self._heard_s = now_s
        if not self._messages.take(1, now_s):
            raise TooFast("More messages a second than browser.max_messages_per_s.")
        if not self._bits.take(size_bytes * 8, now_s):
            raise TooFast("More bits a second than browser.max_bitrate_bps.")

    def _is_later(self, frame: Frame) -> bool:
        last_90k = self._last_90k.get(frame.track, -1)
        if frame.dts_90k > last_90k:
            self._last_90k[frame.track] = frame.dts_90k
            self._backward = 0
            return True
        self.dropped += 1
        self._backward += 1
        if self._backward > _MAX_BACKWARD:
            raise FramingViolation("timestamps", "The timestamps do not increase.")
        return False
