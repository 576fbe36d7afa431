"""The rooms of a node, for tests of what stands around them."""

from prometheus_client import CollectorRegistry

from airnode.config.sections.hls import HlsSection
from airnode.media.room.rooms import Rooms
from airnode.media.sent_bytes import SentBytes


def make_rooms(registry: CollectorRegistry, *, takeover_after_s: float = 2) -> Rooms:
    return Rooms(
        HlsSection(),
        takeover_after_s=takeover_after_s,
        viewer_window_s=12,
        max_rooms=8,
        registry=registry,
        live_sent_bytes=SentBytes(registry).live,
    )
