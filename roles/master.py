"""The master: pages, tokens and places, classes, the view of the cluster. All its state is in the stores."""

import uuid
from dataclasses import dataclass, replace

from aiohttp import web

from airnode.bus.class_names import ClassNames
from airnode.bus.jobs.watch import QueueWatch
from airnode.bus.removals import Removals
from airnode.chat.assembly import ChatParts, make_chat
from airnode.classrecord.attendance_reporter import AttendanceMetrics, AttendanceReporter
from airnode.classrecord.attendance_store import AttendanceStore
from airnode.classrecord.record_api import RecordApi
from airnode.classrecord.record_reader import RecordReader
from airnode.classrecord.retention import RecordRetention
from airnode.classrecord.session_tracker import RoomOnAir, SessionTracker
from airnode.cluster.access_issuer import AccessIssuer
from airnode.cluster.class_titles import ClassTitles
from airnode.cluster.class_urls import ClassUrls
from airnode.cluster.classes import Classes
from airnode.cluster.classes_api import ClassesApi
from airnode.cluster.end_class_api import EndClassApi
from airnode.cluster.join_api import JoinApi
from airnode.cluster.master_chats import MasterChats
from airnode.cluster.node_states import NodeStates
from airnode.cluster.nodes_api import NodesApi
from airnode.cluster.own_ids import OwnIds
from airnode.cluster.recording_index import RecordingIndex
from airnode.cluster.recordings import ClusterRecordings
from airnode.cluster.recordings_api import RecordingsApi
from airnode.cluster.removal_keeping import RemovalKeeper
from airnode.cluster.reservations import Reservations
from airnode.cluster.room_events import RoomEvents
from airnode.cluster.room_nodes import RoomNodes
from airnode.cluster.room_states import RoomStates
from airnode.cluster.rooms_api import RoomsApi
from airnode.cluster.shown_names import ShownNames
from airnode.cluster.stream_keys import StreamKeyPublisher
from airnode.cluster.token_issuer import TokenIssuer
from airnode.cluster.tokens_api import TokensApi
from airnode.kernel.access import StoreUrls
from airnode.pipeline.access import PIPELINE_ACCESS
from airnode.pipeline.admin.overview import Overview
from airnode.pipeline.admin.pipeline_api import PipelineApi
from airnode.pipeline.cache.catalogue import Catalogue
from airnode.pipeline.cache.metrics import LookupMetrics
from airnode.runtime.context import RoleContext
from airnode.runtime.joining import shared_values
from airnode.runtime.registry import join_tokens
from airnode.runtime.resources import Resource
from airnode.runtime.role import Ordered, Role, RoleParts, in_order
from airnode.speech.service.access import SPEECH_TOKEN
from airnode.speech.service.assembly import MasterSide, TranscriptParts, make_transcripts
from airnode.web.addresses import Addresses, PortName
from airnode.web.clients import Clients
from airnode.web.credentials import Authorizer, class_attempts, cluster_attempts, master_rules
from airnode.web.health import HealthCheck
from airnode.web.jobs_api import JobsApi
from airnode.web.rate_limit import AttemptLimit
from airnode.web.static import add_pages

_PAGES = {
    "/": "index.html",
    "/class": "class.html",
    "/class/{code}": "class.html",
    "/studio": "studio.html",
    "/admin": "admin.html",
    "/admin/{section}": "admin.html",
    "/api/docs": "docs.html",
}


@dataclass(frozen=True, slots=True)
class _Cluster:
    """The parts that most APIs need: the state of nodes and rooms, and the check of credentials."""

    nodes: NodeStates
    rooms: RoomStates
    room_events: RoomEvents
    classes: Classes
    stream_keys: StreamKeyPublisher
    clients: Clients
    attempts: AttemptLimit
    authorizer: Authorizer


def build(ctx: RoleContext) -> RoleParts:
    """Return the APIs and the pages, connected with the classes and the state of rooms and nodes."""
    cluster = _cluster(ctx)
    removals, chat = _removals_and_chat(ctx)
    removal_keeper = RemovalKeeper(ctx.bus, ctx.postgres, ctx.tasks("removal-keeper"))
    nodes, rooms = cluster.nodes, cluster.rooms
    masters = MasterChats(
        ctx.bus,
        ctx.settings.cluster,
        node_id=ctx.identity.node_id,
        node_name=ctx.identity.node_name,
        counts=chat.counts if chat is not None else None,
        tasks=ctx.tasks,
    )
    recordings = ClusterRecordings(ctx.bus, RecordingIndex(ctx.postgres), ctx.tasks("recordings"))
    overview = Overview(
        ctx.bus,
        ctx.postgres,
        ctx.settings.cache.refresh_interval_s,
        record_max_age_s=ctx.settings.classes.record_max_age_s,
    )
    catalogue = Catalogue(ctx.bus, ctx.postgres, LookupMetrics(ctx.registry))
    own_ids = OwnIds(ctx.postgres, ctx.settings.auth.student_id_ttl_s, ctx.tasks("own-ids"))
    transcripts = _transcripts(ctx, cluster)
    apis = (
        *transcripts.apis,
        *_class_apis(ctx, cluster, own_ids),
        EndClassApi(cluster.authorizer, rooms, ctx.bus),
        RecordingsApi(cluster.authorizer, recordings, rooms, nodes, ctx.settings.recording),
        _nodes_api(ctx, cluster, masters),
        _join_api(ctx, cluster),
        JobsApi(ctx.jobs, cluster.authorizer),
        _pipeline_api(ctx, cluster, overview, catalogue),
        RecordApi(
            cluster.authorizer,
            RecordReader(ctx.postgres, AttendanceStore(ctx.bus, ctx.settings.chat.outbox_entries)),
        ),
    )

    def routes(app: web.Application) -> None:
        if chat is not None:
            chat.add_routes(app)
        for api in apis:
            api.add_routes(app)
        add_pages(app, _PAGES)

    async def endpoints() -> dict[str, object]:
        auth = ctx.settings.auth
        found = await cluster.classes.by_room(ctx.settings.classes.default_room)
        secret, admin = auth.teacher_secret.get_secret_value(), auth.admin_secret.get_secret_value()
        return {
            **_endpoints(ctx.addresses, found.code, found.stream_key, secret),
            **_admin_endpoints(ctx.addresses, admin),
            **(_join_endpoints(ctx.addresses) if ctx.settings.cluster.token.get_secret_value() else {}),
        }

    async def serving() -> str:
        count = len(nodes.nodes())
        if not count:
            raise LookupError("no slave has sent a heartbeat")
        return f"{count} serving"

    queue_watch = QueueWatch(ctx.jobs, ctx.tasks("queue-watch"))
    sessions = SessionTracker(
        ctx.bus,
        ctx.settings.classes,
        ctx.tasks("class-sessions"),
        outbox_entries=ctx.settings.chat.outbox_entries,
        rooms=lambda: [RoomOnAir(each.room, each.phase, each.since) for each in rooms.states()],
    )

    return RoleParts(
        services=(
            own_ids,
            removal_keeper,
            *(Ordered(each, after=(removal_keeper,)) for each in removals),
            cluster.stream_keys,
            nodes,
            Ordered(rooms, after=(nodes,)),
            Ordered(cluster.room_events, after=(rooms,)),
            Ordered(sessions, after=(rooms,)),
            RecordRetention(ctx.postgres, ctx.settings.classes.record_max_age_s, ctx.tasks("class-record-retention")),
            recordings,
            overview,
            catalogue,
            *in_order(transcripts.services),
            queue_watch,
            *(in_order(chat.services) if chat is not None else ()),
            masters,
        ),
        routes={PortName.HTTP: routes},
        checks=(
            HealthCheck("nodes", serving, critical=False),
            HealthCheck("class-sessions", sessions.check, critical=False),
            HealthCheck("jobs", queue_watch.check, critical=False),
            HealthCheck("removals", removal_keeper.check, critical=False),
            *(HealthCheck(name, check, critical=False) for name, check in transcripts.checks.items()),
            *(chat.checks if chat is not None else ()),
        ),
        endpoints=endpoints,
    )


def _removals_and_chat(ctx: RoleContext) -> tuple[tuple[Removals, ...], ChatParts | None]:
    """Return the view of removed students, and the chat of a master's port with the reporter of who is in it.

    A slave in this process has both: its chat serves this port too, and the tokens are the same.
    """
    if "slave" in ctx.identity.roles:
        return (), None
    removals = Removals(ctx.bus, ctx.tasks("removals"), max_per_room=ctx.settings.chat.max_removed)
    ctx.tokens.refuse_removed(removals.is_removed)
    return (removals,), _chat(ctx, removals)


def _chat(ctx: RoleContext, removals: Removals) -> ChatParts:
    attendance = AttendanceReporter(
        ctx.bus,
        ctx.settings.classes,
        ctx.tasks("attendance"),
        outbox_entries=ctx.settings.chat.outbox_entries,
        member=f"{ctx.identity.node_id}:{uuid.uuid4().hex[:8]}",
        metrics=AttendanceMetrics(ctx.registry),
    )
    chat = make_chat(
        ctx.bus,
        ctx.settings.chat,
        ctx.settings.http,
        node_id=ctx.identity.node_id,
        tokens=ctx.tokens,
        removals=removals,
        addresses=ctx.addresses,
        port=PortName.HTTP,
        local_host=ctx.addresses.local_host,
        registry=ctx.registry,
        tasks=ctx.tasks,
        attendance=attendance,
    )
    check = HealthCheck("attendance", attendance.check, critical=False)
    return replace(chat, services=(attendance, *chat.services), checks=(*chat.checks, check))


def _cluster(ctx: RoleContext) -> _Cluster:
    settings = ctx.settings
    classes = Classes(ctx.postgres, settings.classes.max_classes)
    nodes = NodeStates(ctx.bus, settings.cluster, ctx.tasks("node-states"), ctx.registry)
    rooms = RoomStates(ctx.bus, ctx.tasks("room-states"), watched=nodes.watched)
    clients = Clients(settings.http.trusted_proxies)
    attempts = class_attempts(settings.auth, ctx.registry)
    tokens = join_tokens(ctx.accesses.values())
    rules = master_rules(
        settings.auth, settings.cluster, tokens, cluster_attempts(settings.auth, ctx.registry), attempts
    )
    return _Cluster(
        nodes,
        rooms,
        RoomEvents(rooms, ctx.registry, write_timeout_s=settings.http.request_timeout_s),
        classes,
        StreamKeyPublisher(ctx.bus, classes, settings.classes.default_room, ctx.tasks("class-directory")),
        clients,
        attempts,
        Authorizer(ctx.tokens, clients, rules),
    )


def _class_apis(ctx: RoleContext, cluster: _Cluster, own_ids: OwnIds) -> tuple[TokensApi, ClassesApi, RoomsApi]:
    """Return the APIs of tokens, classes and rooms. The first and the last issue places on the same nodes."""
    room_nodes, urls = RoomNodes(cluster.nodes, cluster.rooms), ClassUrls(cluster.clients, ctx.addresses)
    auth = ctx.settings.auth
    issuer = TokenIssuer(
        auth,
        ctx.settings.classes.default_room,
        tokens=ctx.tokens,
        classes=cluster.classes,
        nodes=room_nodes,
        names=ShownNames(auth, ClassNames(ctx.bus, keep_s=auth.token_ttl_s, max_names=auth.max_names)),
        own_ids=own_ids if auth.own_ids == "first" else None,
        attempts=cluster.attempts,
        registry=ctx.registry,
    )
    classes_api = ClassesApi(
        authorizer=cluster.authorizer,
        classes=cluster.classes,
        stream_keys=cluster.stream_keys,
        rooms=cluster.rooms,
        default_room=ctx.settings.classes.default_room,
    )
    rooms_api = RoomsApi(
        authorizer=cluster.authorizer,
        classes=cluster.classes,
        stream_keys=cluster.stream_keys,
        rooms=cluster.rooms,
        room_events=cluster.room_events,
        room_nodes=room_nodes,
        urls=urls,
    )
    tokens_api = TokensApi(
        issuer, cluster.attempts, cluster.clients, urls, ctx.tokens, auth.student_id_ttl_s, cluster.rooms
    )
    return tokens_api, classes_api, rooms_api


def _transcripts(ctx: RoleContext, cluster: _Cluster) -> TranscriptParts:
    settings = ctx.settings
    return make_transcripts(
        MasterSide(
            bus=ctx.bus,
            postgres=ctx.postgres,
            jobs=ctx.jobs,
            speech=settings.speech,
            auth=settings.auth,
            http=settings.http,
            authorizer=cluster.authorizer,
            tokens=ctx.tokens,
            clients=cluster.clients,
            attempts=cluster.attempts,
            addresses=ctx.addresses,
            data_dir=ctx.data_dir,
            node_id=ctx.identity.node_id,
            node_name=ctx.identity.node_name,
            speech_token=settings.cluster.join_token(SPEECH_TOKEN.key),
            registry=ctx.registry,
            tasks=ctx.tasks,
        )
    )


def _nodes_api(ctx: RoleContext, cluster: _Cluster, masters: MasterChats) -> NodesApi:
    return NodesApi(
        section=ctx.settings.cluster,
        authorizer=cluster.authorizer,
        nodes=cluster.nodes,
        rooms=cluster.rooms,
        reservations=Reservations(ctx.bus),
        clients=cluster.clients,
        titles=ClassTitles(cluster.classes),
        masters=masters,
    )


def _join_api(ctx: RoleContext, cluster: _Cluster) -> JoinApi:
    issuer = AccessIssuer(
        accesses=ctx.accesses,
        node_orders=cluster.nodes.registry,
        store_urls=ctx.remote_urls,
        shared_values=lambda access: shared_values(ctx.settings, access),
        jwt_secret=ctx.settings.auth.jwt_secret.get_secret_value(),
    )
    return JoinApi(issuer, cluster.authorizer, cluster.clients)


def _pipeline_api(ctx: RoleContext, cluster: _Cluster, overview: Overview, catalogue: Catalogue) -> PipelineApi:
    def urls(host: str) -> StoreUrls:
        return ctx.remote_urls(PIPELINE_ACCESS, host)

    return PipelineApi(overview, catalogue, cluster.authorizer, cluster.clients, urls)


def _endpoints(addresses: Addresses, code: str, stream_key: str, secret: str) -> dict[str, object]:
    base = addresses.url(PortName.HTTP)
    found: dict[str, object] = {
        "studio_url": f"{base}/studio" + (f"#secret={secret}" if secret else ""),
        "class_url": f"{base}/class/{code}",
        "class_code": code,
        "stream_key": stream_key,
        "teacher_secret": secret,
    }
    lan = addresses.network_host
    if lan is not None and lan != addresses.local_host:
        found["network_url"] = f"{addresses.url(PortName.HTTP, lan)}/class/{code}"
    return found


def _admin_endpoints(addresses: Addresses, secret: str) -> dict[str, object]:
    fragment = f"#secret={secret}" if secret else ""
    return {"admin_url": f"{addresses.url(PortName.HTTP)}/admin{fragment}", "admin_secret": secret}


def _join_endpoints(addresses: Addresses) -> dict[str, object]:
    """Return the command that starts a slave. It does not contain the cluster token, which is never printed."""
    master_url = addresses.url(PortName.HTTP, addresses.network_host)
    return {"join_command": f"airnode --role slave --master-url {master_url}"}


ROLE = Role(
    name="master",
    summary="pages, tokens, classes; sends viewers to slaves",
    build=build,
    needs=frozenset({Resource.REDIS, Resource.POSTGRES}),
    embeds=frozenset({Resource.REDIS, Resource.POSTGRES}),
    includes=("consumer",),
    without={
        Resource.REDIS: "Classes on air go on. New students get in for cluster.lease_s, then have to wait.",
        Resource.POSTGRES: "Classes on air go on. Class codes open nothing, and no class is made or changed.",
    },
    ports=frozenset({PortName.HTTP}),
    needs_cluster_secrets=True,
)
