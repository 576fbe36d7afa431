"""What a slave's media are made of, by the node's settings. Nothing is opened or started here."""

from collections.abc import Callable
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from airnode.media.live.feed import LiveLimits
from airnode.media.relay.relays import Relays
from airnode.media.room.claims import RoomClaims
from airnode.media.room.origins import Origins, OriginTable
from airnode.media.room.rooms import Rooms
from airnode.runtime.context import RoleContext
from airnode.web.addresses import PortName, in_url
from airnode.web.tokens import RelayClaims


def make_rooms(ctx: RoleContext) -> Rooms:
    """The rooms that are published to this node."""
    media = ctx.settings.media
    return Rooms(
        ctx.settings.hls,
        takeover_after_s=ctx.settings.rtmp.takeover_after_s,
        viewer_window_s=media.viewer_window_s,
        max_rooms=media.max_rooms,
        registry=ctx.registry,
        live=LiveLimits(
            fragment_ms=media.fragment_ms,
            queue_bytes=media.live_queue_bytes,
            queue_fragments=media.live_queue_fragments,
            stuck_s=media.live_stuck_s,
        ),
    )


def make_origins(ctx: RoleContext) -> Origins:
    """Where the cluster's rooms are."""
    kept_s = max(ctx.settings.cluster.lease_s, ctx.settings.hls.grace_s)
    table = OriginTable(ctx.identity.node_id, master_host(ctx), kept_s)
    return Origins(ctx.bus, table, ctx.tasks("origins"))


def make_claims(ctx: RoleContext, rooms: Rooms, origins: Origins) -> RoomClaims:
    """The right to publish a room here."""
    after_s = ctx.settings.rtmp.takeover_after_s
    return RoomClaims(ctx.bus, ctx.identity.node_id, rooms, origins.table, takeover_after_s=after_s)


def make_relays(ctx: RoleContext, rooms: Rooms, origins: Origins) -> Relays:
    """All rooms that can be watched here."""
    return Relays(
        rooms,
        origins,
        ctx.settings.relay,
        ctx.registry,
        node_id=ctx.identity.node_id,
        sign=_relay_signer(ctx),
        viewer_window_s=ctx.settings.media.viewer_window_s,
        tasks=ctx.tasks("relays"),
    )


def _relay_signer(ctx: RoleContext) -> Callable[[str, int], str]:
    """Makes what this node shows where it pulls a room from, as an edge of a tier."""

    def sign(room: str, tier: int) -> str:
        addresses = ctx.addresses
        return ctx.tokens.issue_relay(
            RelayClaims(
                ctx.identity.node_id,
                room,
                tier,
                addresses.scheme,
                in_url(addresses.host),
                addresses.ports[PortName.MEDIA],
            )
        )

    return sign


def master_host(ctx: RoleContext) -> str:
    """Where nodes without a host of their own are: on the master's machine."""
    return in_url(urlsplit(ctx.settings.cluster.master_url).hostname or ctx.addresses.local_host)


def sent_bytes_meter(registry: CollectorRegistry) -> Callable[[], float]:
    """Reads how many bytes of media, live and recorded, the node has sent to viewers since its start."""
    sent = registry.restricted_registry(
        [
            "airnode_media_sent_bytes_total",
            "airnode_media_live_sent_bytes_total",
            "airnode_recording_sent_bytes_total",
        ]
    )
    return lambda: sum(
        sample.value for each in sent.collect() for sample in each.samples if sample.name.endswith("_total")
    )
