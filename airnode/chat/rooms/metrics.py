"""What the rooms of this node count."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from airnode.kernel.meter import Meter

_LAG_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ChatMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.rooms = Gauge("airnode_chat_rooms", "Rooms that this node follows.", registry=registry)
        self.members = Gauge("airnode_chat_members", "Members of rooms on this node.", registry=registry)
        self.events = Counter(
            "airnode_chat_events_total", "Events of clients, by result.", ["event", "result"], registry=registry
        )
        self.limited = Counter(
            "airnode_chat_rate_limited_total", "Events refused because of a limit.", ["event"], registry=registry
        )
        self.recovered = Counter(
            "airnode_chat_recoveries_total",
            "Clients that came back: recovered, too_large, unknown, unavailable.",
            ["result"],
            registry=registry,
        )
        self.bus_lag = Histogram(
            "airnode_chat_bus_lag_seconds",
            "Time from appending an entry to receiving it back from Redis, on the node that appended it.",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self.cut_answers = Counter(
            "airnode_chat_cut_answers_total",
            "Answers with fewer messages than could be there, because of chat.max_answer_bytes.",
            ["event"],
            registry=registry,
        )
        self.gaps = Meter("airnode_chat_gaps_total", "Gaps that were announced to clients.", registry=registry)
        self._deliveries = Meter("airnode_chat_deliveries_total", "Events sent to members.", registry=registry)
        self._bytes = Meter("airnode_chat_sent_bytes_total", "Bytes of these events.", registry=registry)
        self._dropped = Meter(
            "airnode_chat_dropped_deliveries_total",
            "Events that were dropped: slow_client (one client did not get an entry of the log; a gap says so), "
            "slow_client_signal (nor who types, reactions, presence), offline_buffer (refused without Redis, because "
            "of chat.offline_entries), outbox (lost to the class record, because of chat.outbox_entries), bridge (not "
            "sent to Node.js servers).",
            ("reason",),
            registry=registry,
        )

    def totals(self) -> tuple[int, int]:
        """Return the events sent to members, and those that slow clients did not get, since the start."""
        return self._deliveries.total, self._dropped.totals_by("reason")["slow_client"]

    def sent(self, count: int, size: int, missed: int) -> None:
        """Count one event of ``size`` bytes that ``count`` members got, and ``missed`` did not."""
        self._deliveries.add(count)
        self._bytes.add(count * size)
        if missed:
            self.dropped(missed, "slow_client")

    def dropped(self, count: int, reason: str) -> None:
        """Count events that were dropped."""
        self._dropped.add(count, reason)
