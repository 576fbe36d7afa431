"""How often clients may send events: per connection and event, and messages per person and room."""

from airnode.chat.rooms.metrics import ChatMetrics
from airnode.chat.rooms.people import Visitor
from airnode.config.sections.chat import ChatSection
from airnode.errors import RateLimited
from airnode.web.rate_limit import RateLimit

#: A connection that was lost counts until its client does not answer a ping.
_CLOSED_WITHIN_S = 30.0


class TooManyConnections(RateLimited):
    """One person has as many connections as one may have."""

    code, title = "too_many_connections", "Too many connections"


class EventLimits:
    """Token buckets; the caller passes loop time."""

    def __init__(self, section: ChatSection, metrics: ChatMetrics) -> None:
        self._rate_per_s = section.event_rate_per_s
        self._burst = float(section.event_burst)
        self._messages = RateLimit(section.send_rate_per_s, section.send_burst)
        #: Of each person and event. Joining and reading older messages cost so much that more connections of one person
        #: give no more of it.
        self._costly = RateLimit(section.event_rate_per_s, section.event_burst)
        self._connections_max = section.max_connections_per_person
        self._metrics = metrics

    def require_connection(self, connections: int) -> None:
        """Check the connections that a person has on this node already.

        Raises:
            TooManyConnections: (429) as many as ``chat.max_connections_per_person``.
        """
        if connections >= self._connections_max:
            self._metrics.limited.labels("connect").inc()
            raise TooManyConnections(
                f"You have {connections} chat connections open; close some (chat.max_connections_per_person).",
                retry_after_s=_CLOSED_WITHIN_S,
            )

    def take_event(self, visitor: Visitor, event: str, now_s: float) -> None:
        """Count an event of a connection.

        Raises:
            RateLimited: (429) too many of this name (``chat.event_rate_per_s``, ``chat.event_burst``).
        """
        buckets = visitor.buckets = visitor.buckets if visitor.buckets is not None else {}
        level, when_s = buckets.get(event, (self._burst, now_s))
        level = min(self._burst, level + (now_s - when_s) * self._rate_per_s)
        if level < 1:
            self._refuse(event, (1 - level) / self._rate_per_s)
        buckets[event] = (level - 1, now_s)

    def take_message(self, visitor: Visitor, room: str, now_s: float) -> None:
        """Count a message of a person in a room.

        Raises:
            RateLimited: (429) too many (``chat.send_rate_per_s``, ``chat.send_burst``).
        """
        wait_s = self._messages.take(f"{room}\n{visitor.user.id}", now_s)
        if wait_s:
            self._refuse("sendMessage", wait_s)

    def take_costly(self, visitor: Visitor, event: str, now_s: float) -> None:
        """Count an event of a person, on all its connections to this node.

        Raises:
            RateLimited: (429) too many (``chat.event_rate_per_s``, ``chat.event_burst``).
        """
        wait_s = self._costly.take(f"{event}\n{visitor.only_room}\n{visitor.user.id}", now_s)
        if wait_s:
            self._refuse(event, wait_s)

    def _refuse(self, event: str, wait_s: float) -> None:
        self._metrics.limited.labels(event).inc()
        raise RateLimited("You are too fast; wait a moment.", retry_after_s=wait_s)
