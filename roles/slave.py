"""The slave: takes publishers over RTMP and serves viewers over HTTP."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from aiohttp import web
from prometheus_client import CollectorRegistry

from airnode.bus.records import Records
from airnode.cluster.codes import ROOM_PATTERN
from airnode.cluster.directory import StreamKeys
from airnode.cluster.heartbeat import Heartbeat, Meters
from airnode.cluster.membership import MasterClient, join
from airnode.media.claims import RoomClaims
from airnode.media.http import MediaApi
from airnode.media.live import LiveLimits
from airnode.media.mediamtx.engine import EngineSettings, MediaMtxEngine
from airnode.media.origins import Origins, OriginTable
from airnode.media.recording.announcer import Announcer
from airnode.media.recording.catalog import Catalog
from airnode.media.recording.holders import Holders
from airnode.media.recording.http import RecordingMedia
from airnode.media.recording.recorder import Recorder
from airnode.media.relay import Relays
from airnode.media.relayapi import RelayApi
from airnode.media.reporter import RoomReporter
from airnode.media.rooms import Rooms
from airnode.media.rtmp.publishing import PublishRefusal, PublishRequest
from airnode.media.rtmp.server import RtmpServer
from airnode.media.upstream import NodeToken
from airnode.runtime.context import JoinContext, RoleContext
from airnode.runtime.role import HealthCheck, Join, PortName, Resource, RoleParts
from airnode.web.addresses import in_url, rtmp_server
from airnode.web.ratelimit import RateLimit
from airnode.web.tokens import RelayClaims


class StreamKeyAuthority:
    """Decides who may publish where: ``live/<key>``, ``live/<room>?key=<key>``, or ``live/<room>`` where it is open."""

    def __init__(self, keys: StreamKeys, claims: RoomClaims, *, open_publishing: bool) -> None:
        self._keys = keys
        self._claims = claims
        self._open = open_publishing

    async def authorize(self, request: PublishRequest) -> str | PublishRefusal:
        """The room of the key that came with the request, claimed for this node."""
        room = await self._room(request)
        if isinstance(room, str):
            await self._claims.take(room)
        return room

    async def _room(self, request: PublishRequest) -> str | PublishRefusal:
        if request.app != "live":
            return PublishRefusal("app", "Publish to the app 'live': rtmp://HOST/live/STREAM-KEY.")
        room = await self._keys.room_of(request.key)
        named = request.name if "key" in request.params else None
        if room is not None and named in (None, room):
            return room
        if self._open and ROOM_PATTERN.match(request.name):
            return request.name
        return PublishRefusal("key", "The stream key is not right; copy it from the studio page.")


class SlaveRole:
    """Media in, media out."""

    name = "slave"
    summary = "takes RTMP, serves LL-HLS to viewers"
    needs = frozenset({Resource.REDIS})
    embeds: frozenset[Resource] = frozenset()
    without: Mapping[Resource, str] = MappingProxyType(
        {
            Resource.REDIS: "Classes on air go on. No other class can begin here, and other nodes hear nothing new.",
        }
    )
    includes: tuple[str, ...] = ()
    ports = frozenset({PortName.MEDIA})
    makes_secrets = False
    section = None

    def join(self, ctx: JoinContext) -> Join | None:
        """Ask the master for what is not configured here."""
        return join(ctx)

    def build(self, ctx: RoleContext) -> RoleParts:
        """Wire RTMP to rooms and rooms to the media port."""
        settings = ctx.settings
        rooms = _rooms(ctx)
        origins = _origins(ctx)
        keys = StreamKeys(ctx.bus, ctx.tasks("stream-keys"))
        authority = _authority(ctx, rooms, origins, keys)
        rtmp = RtmpServer(settings.rtmp, host=settings.http.host, authority=authority, hub=rooms, registry=ctx.registry)
        engines = [_mediamtx(ctx, rooms, authority)] if settings.media.engine == "mediamtx" else []
        token = NodeToken(lambda: ctx.tokens.issue_node(ctx.identity.node_id))
        relays = Relays(
            rooms,
            origins,
            settings.relay,
            ctx.registry,
            node_id=ctx.identity.node_id,
            sign=_relay_signer(ctx),
            viewer_window_s=settings.media.viewer_window_s,
            lost_after_s=settings.relay.lost_after_s,
            tasks=ctx.tasks("relays"),
        )
        recordings = _Recordings(ctx, rooms, token)
        heartbeat = Heartbeat(
            ctx.bus,
            settings.cluster,
            ctx.identity,
            ctx.addresses,
            rtmp_port=lambda: rtmp.port,
            meters=_meters(rooms, relays, recordings.recorder, ctx.registry),
            master=MasterClient(settings.cluster) if settings.cluster.master_url else None,
            tasks=ctx.tasks("heartbeat"),
        )
        reporter = RoomReporter(
            rooms, ctx.bus, ctx.identity.node_id, ctx.addresses, settings.cluster.lease_s, ctx.tasks("room-reporter")
        )
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
                **(_mediamtx_endpoints(ctx) if engines else {}),
            }

        return RoleParts(
            services=(rooms, *recordings.services, origins, relays, reporter, keys, rtmp, *engines, heartbeat),
            routes={PortName.MEDIA: routes},
            checks=(
                HealthCheck("cluster", heartbeat.check),
                HealthCheck("heartbeat", heartbeat.check_beats, critical=False),
                *(HealthCheck("mediamtx", engine.check, critical=False) for engine in engines),
                HealthCheck("recording", recordings.recorder.check, critical=False),
            ),
            endpoints=endpoints,
        )


def _rooms(ctx: RoleContext) -> Rooms:
    settings = ctx.settings
    return Rooms(
        settings.hls,
        takeover_after_s=settings.rtmp.takeover_after_s,
        viewer_window_s=settings.media.viewer_window_s,
        max_rooms=settings.media.max_rooms,
        registry=ctx.registry,
        live=LiveLimits(
            fragment_ms=settings.media.fragment_ms,
            queue_bytes=settings.media.live_queue_bytes,
            queue_fragments=settings.media.live_queue_fragments,
            stuck_s=settings.media.live_stuck_s,
        ),
    )


class _Recordings:
    """The parts that make and serve recordings. The recorder starts last and stops first, after the publishers."""

    def __init__(self, ctx: RoleContext, rooms: Rooms, token: NodeToken) -> None:
        section, node_id = ctx.settings.recording, ctx.identity.node_id
        catalog = Catalog(section.dir or ctx.data_dir / "recordings")
        holders = Holders(Records(ctx.bus), token, node_id, _master_host(ctx), ctx.registry)
        announcer = Announcer(ctx.bus, catalog, node_id, ctx.addresses, ctx.tasks("recording-announcer"))
        self.recorder = Recorder(rooms, catalog, section, node_id, ctx.registry, ctx.tasks("recorder"))
        announcer.obey(self.recorder)
        self.services = (catalog, holders, announcer, self.recorder)
        self.media = RecordingMedia(
            catalog,
            holders,
            ctx.tokens,
            ctx.registry,
            student_download=section.student_download,
            gap_s=section.download_gap_s,
        )


def _master_host(ctx: RoleContext) -> str:
    """Where nodes without a host of their own are: on the master's machine."""
    return in_url(urlsplit(ctx.settings.cluster.master_url).hostname or ctx.addresses.local_host)


def _origins(ctx: RoleContext) -> Origins:
    section = ctx.settings.cluster
    table = OriginTable(ctx.identity.node_id, _master_host(ctx), max(section.lease_s, ctx.settings.hls.grace_s))
    return Origins(ctx.bus, table, ctx.tasks("origins"))


def _relay_signer(ctx: RoleContext) -> Callable[[str, int], str]:
    """Makes what this node shows where it pulls a room from, as an edge of a tier."""

    def sign(room: str, tier: int) -> str:
        addresses = ctx.addresses
        return ctx.tokens.issue_relay(
            RelayClaims(
                ctx.identity.node_id, room, tier,
                addresses.scheme, in_url(addresses.host), addresses.ports[PortName.MEDIA],
            )
        )  # fmt: skip

    return sign


def _meters(rooms: Rooms, relays: Relays, recorder: Recorder, registry: CollectorRegistry) -> Meters:
    sent = registry.restricted_registry(
        [
            "airnode_media_sent_bytes_total",
            "airnode_media_live_sent_bytes_total",
            "airnode_recording_sent_bytes_total",
        ]
    )
    return Meters(
        viewers=lambda: {room.name: room.viewers.count(rooms.now_s()) for room in relays.all()},
        newcomers=lambda: [session for room in relays.all() for session in room.viewers.newcomers()],
        cut_from=relays.cut_from,
        relays=relays.relays,
        streams=lambda: sum(room.phase in ("live", "reconnecting") for room in rooms.all()),
        sent_bytes=lambda: sum(
            sample.value for each in sent.collect() for sample in each.samples if sample.name.endswith("_total")
        ),
        alarms=recorder.alarms,
    )


def _authority(ctx: RoleContext, rooms: Rooms, origins: Origins, keys: StreamKeys) -> StreamKeyAuthority:
    section = ctx.settings.rtmp
    claims = RoomClaims(ctx.bus, ctx.identity.node_id, rooms, origins.table, takeover_after_s=section.takeover_after_s)
    return StreamKeyAuthority(keys, claims, open_publishing=section.open_publishing)


def _mediamtx(ctx: RoleContext, rooms: Rooms, authority: StreamKeyAuthority) -> MediaMtxEngine:
    settings = ctx.settings
    cert, key = settings.http.tls_cert, settings.http.tls_key
    return MediaMtxEngine(
        EngineSettings(
            settings.mediamtx,
            settings.hls,
            settings.embedded,
            ctx.data_dir,
            settings.http.host,
            settings.node.host,
            (cert.expanduser().absolute(), key.expanduser().absolute())
            if cert is not None and key is not None
            else None,
        ),
        authority,
        rooms,
        ctx.registry,
        ctx.tasks("mediamtx"),
        wrong_keys=RateLimit(settings.auth.failure_rate_per_s, settings.auth.failure_burst),
    )


def _mediamtx_endpoints(ctx: RoleContext) -> dict[str, object]:
    """Where publishers go, as far as airnode knows the ports."""
    section, host = ctx.settings.mediamtx, in_url(ctx.addresses.local_host)
    if section.api_url:
        return {}
    whip = "https" if ctx.settings.http.tls_cert is not None else "http"
    known = {
        "srt_server": f"srt://{host}:{section.srt_port}" if section.srt_port else None,
        "rtsp_server": f"rtsp://{host}:{section.rtsp_port}/live" if section.rtsp_port else None,
        "whip_server": f"{whip}://{host}:{section.webrtc_port}/live" if section.webrtc_port else None,
    }
    return {name: url for name, url in known.items() if url is not None}


ROLE = SlaveRole()
