"""The slave: takes publishers over RTMP and serves viewers over HTTP."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from aiohttp import web

from airnode.bus.messages import ROOM_PATTERN, ChatCounts
from airnode.bus.records import Records
from airnode.bus.removals import Removals
from airnode.chat.assembly import make_chat
from airnode.classrecord.attendance_reporter import AttendanceMetrics, AttendanceReporter, Watching
from airnode.cluster.access import NODE_ACCESS
from airnode.cluster.heartbeat import Heartbeat, HeartbeatClient, Meters
from airnode.cluster.stream_keys import StreamKeys
from airnode.config.model import Settings
from airnode.kernel.urls import url_host
from airnode.media.browser.server import BrowserIngest
from airnode.media.live.feed import LiveLimits
from airnode.media.mediamtx import assembly as mediamtx
from airnode.media.mediamtx.engine import MediaMtxEngine
from airnode.media.mediamtx.server import find_mediamtx
from airnode.media.open_responses import OpenResponses
from airnode.media.recording.announcer import RecordingAnnouncer
from airnode.media.recording.catalog import RecordingCatalog
from airnode.media.recording.recorder import Recorder
from airnode.media.recording.recording_api import RecordingApi
from airnode.media.recording.remote_recordings import RemoteRecordings
from airnode.media.relay.relay_api import RelayApi
from airnode.media.relay.relays import Relays
from airnode.media.relay.upstream import NodeToken
from airnode.media.room.claims import RoomClaims
from airnode.media.room.class_orders import ClassOrders
from airnode.media.room.origins import Origins, OriginTable
from airnode.media.room.publishers import StreamKeyAuthority
from airnode.media.room.reporter import RoomReporter
from airnode.media.room.rooms import Rooms
from airnode.media.rtmp.server import RtmpServer
from airnode.media.sent_bytes import SentBytes
from airnode.media.viewer_answers import ViewerAnswers
from airnode.media.viewer_api import MediaApi
from airnode.media.viewer_connection import ViewerConnections
from airnode.runtime.context import RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import Ordered, Role, RoleParts, in_order
from airnode.web.addresses import PortName, publish_servers, rtmp_server
from airnode.web.clients import Clients
from airnode.web.health import HealthCheck
from airnode.web.sockets import require_free
from airnode.web.tokens import RelayClaims


def build(ctx: RoleContext) -> RoleParts:
    """Return the servers for publishers and viewers, the rooms and recordings, and the reports to the cluster."""
    settings = ctx.settings
    sent = SentBytes(ctx.registry)
    rooms, origins = _rooms(ctx, sent), _origins(ctx)
    responses, removals = _removals(ctx)

    keys = StreamKeys(ctx.bus, ctx.tasks("stream-keys"))
    open_rooms = ROOM_PATTERN if settings.rtmp.open_publishing else None
    authority = StreamKeyAuthority(keys.room_of, _claims(ctx, rooms, origins), open_rooms=open_rooms)
    rtmp = RtmpServer(settings.rtmp, host=settings.http.host, authority=authority, hub=rooms, registry=ctx.registry)
    browser = _browser(ctx, rooms, authority)
    engines = _mediamtx_engines(ctx, rooms, authority)

    relays = _relays(ctx, rooms, origins)
    recordings = _recordings(ctx, rooms, sent, responses)
    heartbeat = _heartbeat(ctx, rtmp, rooms, relays, recordings.recorder, sent, lambda: chat.counts())
    reporter = _reporter(ctx, rooms)
    attendance = _attendance(ctx, relays)
    answers = ViewerAnswers(relays, ctx.tokens, ctx.registry, sent_bytes=sent.hls, admits=heartbeat.admits)
    media = MediaApi(answers, ViewerConnections(answers, settings.http.allowed_origins), responses)
    relay = RelayApi(rooms, relays, media, ctx.tokens, settings.relay, ctx.registry)

    chat = make_chat(
        ctx.bus,
        settings.chat,
        settings.http,
        node_id=ctx.identity.node_id,
        tokens=ctx.tokens,
        removals=removals,
        addresses=ctx.addresses,
        port=PortName.MEDIA,
        local_host=_master_host(ctx),
        registry=ctx.registry,
        tasks=ctx.tasks,
        attendance=attendance,
        watching=relays.watching_users,
    )

    def routes(app: web.Application) -> None:
        chat.add_routes(app)
        media.add_routes(app)
        browser.add_routes(app)
        relay.add_routes(app)
        recordings.api.add_routes(app)

    async def endpoints() -> dict[str, object]:
        return {
            "media_url": ctx.addresses.url(PortName.MEDIA),
            "rtmp_server": rtmp_server(ctx.addresses.local_host, rtmp.port),
            **publish_servers(ctx.addresses.local_host, _publish_ports(ctx)),
        }

    # Servers for publishers start last and stop first, so that a publisher always has a room, a recorder and reports.
    before_publishers = (rooms, origins, keys, reporter, recordings.recorder)
    return RoleParts(
        services=(
            removals,
            rooms,
            origins,
            keys,
            recordings.catalog,
            recordings.remote_recordings,
            Ordered(recordings.announcer, after=(recordings.catalog,)),
            Ordered(recordings.recorder, after=(rooms, recordings.announcer)),
            Ordered(relays, after=(rooms, origins)),
            Ordered(reporter, after=(rooms, origins)),
            Ordered(attendance, after=(relays,)),
            Ordered(ClassOrders(ctx.bus, rooms, ctx.identity.node_id), after=(reporter,)),
            *(Ordered(publishers, after=before_publishers) for publishers in (rtmp, browser, *engines)),
            Ordered(heartbeat, after=(relays, rtmp, *engines)),
            *in_order(chat.services),
        ),
        # Where a master runs in the same process, its port serves the same chat.
        routes={PortName.MEDIA: routes, **({PortName.HTTP: chat.add_routes} if "master" in ctx.identity.roles else {})},
        checks=(
            HealthCheck("cluster", heartbeat.check),
            HealthCheck("heartbeat", heartbeat.check_beats, critical=False),
            *(HealthCheck("mediamtx", engine.check, critical=False) for engine in engines),
            HealthCheck("browser", browser.check, critical=False),
            HealthCheck("recording", recordings.recorder.check, critical=False),
            *chat.checks,
            HealthCheck("attendance", attendance.check, critical=False),
        ),
        preflight=_preflight(settings),
        endpoints=endpoints,
    )


def _preflight(settings: Settings) -> list[Callable[[], object]]:
    """Return the checks for services that start late: the publishers' ports are free, and MediaMTX is installed."""
    host, section = settings.http.host, settings.rtmp
    checks: list[Callable[[], object]] = [partial(require_free, host, section.port, "RTMP", "--rtmp-port")]
    if section.tls_port is not None:
        checks.append(partial(require_free, host, section.tls_port, "RTMPS", "rtmp.tls_port"))
    if settings.media.engine == "mediamtx" and not settings.mediamtx.api_url:
        checks.append(partial(find_mediamtx, settings.mediamtx.binary))
    return checks


# -- rooms ------------------------------------------------------------------------------------------------------------


def _rooms(ctx: RoleContext, sent: SentBytes) -> Rooms:
    """Return the rooms that are published to this node."""
    media = ctx.settings.media
    return Rooms(
        ctx.settings.hls,
        takeover_after_s=ctx.settings.rtmp.takeover_after_s,
        viewer_window_s=media.viewer_window_s,
        max_rooms=media.max_rooms,
        registry=ctx.registry,
        live_sent_bytes=sent.live,
        live=LiveLimits(
            fragment_ms=media.fragment_ms,
            sound_wait_ms=media.sound_wait_ms,
            queue_bytes=media.live_queue_bytes,
            queue_fragments=media.live_queue_fragments,
            stuck_s=media.live_stuck_s,
        ),
    )


def _origins(ctx: RoleContext) -> Origins:
    """Return this node's view of the origins of the cluster's rooms."""
    kept_s = max(ctx.settings.cluster.lease_s, ctx.settings.hls.grace_s)
    table = OriginTable(ctx.identity.node_id, _master_host(ctx), kept_s)
    return Origins(ctx.bus, table, ctx.tasks("origins"))


def _claims(ctx: RoleContext, rooms: Rooms, origins: Origins) -> RoomClaims:
    after_s = ctx.settings.rtmp.takeover_after_s
    return RoomClaims(ctx.bus, ctx.identity.node_id, rooms, origins.table, takeover_after_s=after_s)


def _removals(ctx: RoleContext) -> tuple[OpenResponses, Removals]:
    """Return the open responses to students, and the view of removed students, whose responses end."""
    responses, removals = (
        OpenResponses(),
        Removals(ctx.bus, ctx.tasks("removals"), max_per_room=ctx.settings.chat.max_removed),
    )
    removals.listen(responses.follow)
    ctx.tokens.refuse_removed(removals.is_removed)
    return responses, removals


def _reporter(ctx: RoleContext, rooms: Rooms) -> RoomReporter:
    lease_s = ctx.settings.cluster.lease_s
    return RoomReporter(rooms, ctx.bus, ctx.identity.node_id, ctx.addresses, lease_s, ctx.tasks("room-reporter"))


def _attendance(ctx: RoleContext, relays: Relays) -> AttendanceReporter:
    """Return the reporter of who is in the classes on this node."""

    def viewing() -> dict[tuple[str, str], Watching]:
        return {key: Watching(*viewer) for key, viewer in relays.watching().items()}

    return AttendanceReporter(
        ctx.bus,
        ctx.settings.classes,
        ctx.tasks("attendance"),
        outbox_entries=ctx.settings.chat.outbox_entries,
        member=f"{ctx.identity.node_id}:{uuid.uuid4().hex[:8]}",
        viewing=viewing,
        metrics=AttendanceMetrics(ctx.registry),
    )


def _relays(ctx: RoleContext, rooms: Rooms, origins: Origins) -> Relays:
    """Return all rooms that can be watched here."""

    def sign(room: str, tier: int) -> str:
        """Return the credential with which this node fetches a room, as an edge of ``tier``."""
        addresses = ctx.addresses
        host, port = url_host(addresses.host), addresses.ports[PortName.MEDIA]
        return ctx.tokens.issue_relay(
            RelayClaims(ctx.identity.node_id, room, tier, addresses.scheme, host, port),
        )

    return Relays(
        rooms,
        origins,
        ctx.settings.relay,
        ctx.registry,
        node_id=ctx.identity.node_id,
        sign=sign,
        viewer_window_s=ctx.settings.media.viewer_window_s,
        tasks=ctx.tasks("relays"),
    )


def _master_host(ctx: RoleContext) -> str:
    """Return the host of nodes that announce no host, because they are on the master's machine."""
    return url_host(urlsplit(ctx.settings.cluster.master_url).hostname or ctx.addresses.local_host)


# -- recordings -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _RecordingParts:
    """The parts that make and serve recordings. The routes of ``api`` are on the media port."""

    catalog: RecordingCatalog
    remote_recordings: RemoteRecordings
    announcer: RecordingAnnouncer
    recorder: Recorder
    api: RecordingApi


def _recordings(ctx: RoleContext, rooms: Rooms, sent: SentBytes, responses: OpenResponses) -> _RecordingParts:
    section, node_id = ctx.settings.recording, ctx.identity.node_id
    catalog = RecordingCatalog(section.dir or ctx.data_dir / "recordings")
    recorder = Recorder(rooms, catalog, section, node_id, ctx.registry, ctx.tasks("recorder"))
    token = NodeToken(lambda: ctx.tokens.issue_node(node_id))
    remote_recordings = RemoteRecordings(Records(ctx.bus), token, node_id, _master_host(ctx), ctx.registry)
    announcer = RecordingAnnouncer(ctx.bus, catalog, recorder, node_id, ctx.addresses, ctx.tasks("recording-announcer"))
    api = RecordingApi(
        catalog,
        remote_recordings,
        ctx.tokens,
        ctx.registry,
        sent_bytes=sent.recordings,
        responses=responses,
        student_download=section.student_download,
        gap_s=section.download_gap_s,
    )
    return _RecordingParts(catalog, remote_recordings, announcer, recorder, api)


# -- the cluster ------------------------------------------------------------------------------------------------------


def _mediamtx_engines(ctx: RoleContext, rooms: Rooms, authority: StreamKeyAuthority) -> tuple[MediaMtxEngine, ...]:
    settings = ctx.settings
    if settings.media.engine != "mediamtx":
        return ()
    parts = mediamtx.engine_settings(
        settings.mediamtx,
        settings.hls,
        settings.http,
        data_dir=ctx.data_dir,
        public_host=settings.node.host,
    )
    return (mediamtx.make_engine(parts, settings.auth, authority, rooms, ctx.registry, ctx.tasks("mediamtx")),)


def _browser(ctx: RoleContext, rooms: Rooms, authority: StreamKeyAuthority) -> BrowserIngest:
    """Return the ingest from browsers, on the media port."""
    settings = ctx.settings
    return BrowserIngest(
        settings.browser,
        authority,
        rooms,
        ctx.registry,
        clients=Clients(settings.http.trusted_proxies),
        allowed_origins=settings.http.allowed_origins,
        grace_s=settings.hls.grace_s,
    )


def _publish_ports(ctx: RoleContext) -> dict[str, int]:
    """Return the ports for publishers by other protocols than RTMP."""
    settings = ctx.settings
    if settings.media.engine != "mediamtx":
        return {}
    has_tls = settings.http.tls_cert is not None
    return mediamtx.publish_ports(settings.mediamtx, has_tls=has_tls)


def _heartbeat(
    ctx: RoleContext,
    rtmp: RtmpServer,
    rooms: Rooms,
    relays: Relays,
    recorder: Recorder,
    sent: SentBytes,
    chat_counts: Callable[[], ChatCounts],
) -> Heartbeat:
    section = ctx.settings.cluster
    return Heartbeat(
        ctx.bus,
        section,
        ctx.identity,
        ctx.addresses,
        rtmp_port=lambda: rtmp.port,
        publish_ports=_publish_ports(ctx),
        meters=Meters(
            viewers=relays.viewers,
            newcomers=relays.newcomers,
            cut_from=relays.unreachable_origins,
            relays=relays.relays,
            streams=rooms.streams,
            sent_bytes=sent.total_bytes,
            notices=recorder.notices,
            chat=chat_counts,
        ),
        master=HeartbeatClient(section) if section.master_url else None,
        tasks=ctx.tasks("heartbeat"),
    )


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
