"""The slave: takes publishers over RTMP and serves viewers over HTTP."""

from aiohttp import web

from airnode.cluster.access import NODE_ACCESS
from airnode.cluster.codes import ROOM_PATTERN
from airnode.cluster.heartbeat import Heartbeat, Meters
from airnode.cluster.membership import MasterClient
from airnode.cluster.stream_keys import StreamKeys
from airnode.media.assembly import make_claims, make_origins, make_relays, make_rooms, sent_bytes_meter
from airnode.media.mediamtx import assembly as mediamtx
from airnode.media.recording.assembly import Recordings
from airnode.media.recording.recorder import Recorder
from airnode.media.relay.relay_api import RelayApi
from airnode.media.relay.relays import Relays
from airnode.media.room.publishers import StreamKeyAuthority
from airnode.media.room.reporter import RoomReporter
from airnode.media.room.rooms import Rooms
from airnode.media.rtmp.server import RtmpServer
from airnode.media.viewer_api import MediaApi
from airnode.runtime.context import RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import Ordered, Role, RoleParts
from airnode.web.addresses import PortName, rtmp_server
from airnode.web.health import HealthCheck


def build(ctx: RoleContext) -> RoleParts:
    """Publishers come into rooms, viewers watch these and other nodes' rooms, and the cluster hears of all."""
    settings = ctx.settings
    rooms, origins = make_rooms(ctx), make_origins(ctx)

    keys = StreamKeys(ctx.bus, ctx.tasks("stream-keys"))
    open_rooms = ROOM_PATTERN if settings.rtmp.open_publishing else None
    authority = StreamKeyAuthority(keys.room_of, make_claims(ctx, rooms, origins), open_rooms=open_rooms)
    rtmp = RtmpServer(settings.rtmp, host=settings.http.host, authority=authority, hub=rooms, registry=ctx.registry)
    engines = mediamtx.make_engines(ctx, rooms, authority)

    relays = make_relays(ctx, rooms, origins)
    recordings = Recordings(ctx, rooms)
    heartbeat = _heartbeat(ctx, rtmp, rooms, relays, recordings.recorder)
    reporter = _reporter(ctx, rooms)
    media = MediaApi(relays, ctx.tokens, ctx.registry, admits=heartbeat.admits)
    relay = RelayApi(rooms, relays, media, ctx.tokens, settings.relay, ctx.registry)

    def routes(app: web.Application) -> None:
        media.add_routes(app)
        relay.add_routes(app)
        recordings.media.add_routes(app)

    async def endpoints() -> dict[str, object]:
        return {
            "media_url": ctx.addresses.url(PortName.MEDIA),
            "rtmp_server": rtmp_server(ctx.addresses.local_host, rtmp.port),
            **mediamtx.endpoints(ctx),
        }

    # Publishers come last and go first: what they send then has a room, a recorder and a report.
    catalog, holders, announcer, recorder = recordings.services
    before_publishers = (rooms, origins, keys, reporter, recorder)
    return RoleParts(
        services=(
            rooms,
            origins,
            keys,
            catalog,
            holders,
            Ordered(announcer, after=(catalog,)),
            Ordered(recorder, after=(rooms, announcer)),
            Ordered(relays, after=(rooms, origins)),
            Ordered(reporter, after=(rooms, origins)),
            *(Ordered(publishers, after=before_publishers) for publishers in (rtmp, *engines)),
            Ordered(heartbeat, after=(relays, rtmp, *engines)),
        ),
        routes={PortName.MEDIA: routes},
        checks=(
            HealthCheck("cluster", heartbeat.check),
            HealthCheck("heartbeat", heartbeat.check_beats, critical=False),
            *(HealthCheck("mediamtx", engine.check, critical=False) for engine in engines),
            HealthCheck("recording", recordings.recorder.check, critical=False),
        ),
        endpoints=endpoints,
    )


def _heartbeat(ctx: RoleContext, rtmp: RtmpServer, rooms: Rooms, relays: Relays, recorder: Recorder) -> Heartbeat:
    section = ctx.settings.cluster
    return Heartbeat(
        ctx.bus,
        section,
        ctx.identity,
        ctx.addresses,
        rtmp_port=lambda: rtmp.port,
        meters=Meters(
            viewers=relays.viewers,
            newcomers=relays.newcomers,
            cut_from=relays.cut_from,
            relays=relays.relays,
            streams=rooms.streams,
            sent_bytes=sent_bytes_meter(ctx.registry),
            notices=recorder.notices,
        ),
        master=MasterClient(section) if section.master_url else None,
        tasks=ctx.tasks("heartbeat"),
    )


def _reporter(ctx: RoleContext, rooms: Rooms) -> RoomReporter:
    lease_s = ctx.settings.cluster.lease_s
    return RoomReporter(rooms, ctx.bus, ctx.identity.node_id, ctx.addresses, lease_s, ctx.tasks("room-reporter"))


ROLE = Role(
    name="slave",
    summary="takes RTMP, serves LL-HLS to viewers",
    build=build,
    access=NODE_ACCESS,
    needs=frozenset({Resource.REDIS}),
    without={
        Resource.REDIS: "Classes on air go on. No other class can begin here, and other nodes hear nothing new.",
    },
    ports=frozenset({PortName.MEDIA}),
)
