"""How many bytes this node sends to viewers: a meter for each kind of response, and their sum for the heartbeat."""

from prometheus_client import CollectorRegistry

from airnode.kernel.meter import Meter


class SentBytes:
    """The only declaration of these meters. Placement by bandwidth uses their sum (``cluster.bandwidth_bps``).

    Attributes:
        hls: bodies of parts, segments and initialization sections.
        live: fragments of ``live.mp4``.
        recordings: bodies of recorded media.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.hls = Meter("airnode_media_sent_bytes_total", "Media bytes answered", registry=registry)
        self.live = Meter("airnode_media_live_sent_bytes_total", "Bytes written to live.mp4", registry=registry)
        self.recordings = Meter("airnode_recording_sent_bytes_total", "Recorded bytes answered", registry=registry)

    def total_bytes(self) -> int:
        """Return the bytes sent since the start of the process, live and recorded."""
        return self.hls.total + self.live.total + self.recordings.total
