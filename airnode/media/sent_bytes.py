"""How many bytes this node sends to viewers: a metric for each way of sending, and their sum for the heartbeat."""

from prometheus_client import CollectorRegistry, Counter


class SentBytesMeter:
    """The one place that declares these counters.

    Who sends gets its counter, and the heartbeat gets the meter: no metric is looked up by its name.
    Placement by bandwidth depends on the sum (``cluster.bandwidth_bps``).
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.hls = Counter("airnode_media_sent_bytes_total", "Media bytes answered", registry=registry)
        self.live = Counter("airnode_media_live_sent_bytes_total", "Bytes written to live.mp4", registry=registry)
        self.recordings = Counter("airnode_recording_sent_bytes_total", "Recorded bytes answered", registry=registry)

    def total_bytes(self) -> float:
        """Return the bytes sent since the start, live and recorded."""
        return sum(_value(counter) for counter in (self.hls, self.live, self.recordings))


def _value(counter: Counter) -> float:
    # Counter has no public getter; ``collect`` is public, and also yields the time of creation.
    return next(
        sample.value for family in counter.collect() for sample in family.samples if sample.name.endswith("_total")
    )
