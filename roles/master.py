"""The master: pages, tokens and places, classes, the view of the cluster. It keeps no state: the stores do."""

from aiohttp import web

from airnode.cluster.access_issuer import AccessIssuer
from airnode.cluster.class_urls import ClassUrls
from airnode.cluster.classes import Classes
from airnode.cluster.classes_api import ClassesApi
from airnode.cluster.join_api import JoinApi
from airnode.cluster.node_states import NodeStates
from airnode.cluster.nodes_api import NodesApi
from airnode.cluster.recording_index import RecordingIndex
from airnode.cluster.recordings import ClusterRecordings
from airnode.cluster.recordings_api import RecordingsApi
from airnode.cluster.reservations import Reservations
from airnode.cluster.room_events import RoomEvents
from airnode.cluster.room_nodes import RoomNodes
from airnode.cluster.room_states import RoomStates
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
from airnode.runtime.resources import Resource
from airnode.runtime.role import Ordered, Role, RoleParts
from airnode.web.addresses import Addresses, PortName
from airnode.web.clients import Clients
from airnode.web.credentials import Authorizer, class_attempts, cluster_attempts, master_rules
from airnode.web.health import HealthCheck
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


def build(ctx: RoleContext) -> RoleParts:
    """Connect the API with the classes, the state of rooms and nodes, and the pages."""
    settings = ctx.settings
    classes = Classes(ctx.postgres, settings.classes.max_classes)
    room = settings.classes.default_room
    nodes = NodeStates(ctx.bus, settings.cluster, ctx.tasks("node-states"), ctx.registry)
    rooms = RoomStates(ctx.bus, ctx.tasks("room-states"), watched=nodes.watched)
    room_events = RoomEvents(rooms, ctx.registry, write_timeout_s=settings.http.request_timeout_s)
    clients = Clients(settings.http.trusted_proxies)
    stream_keys = StreamKeyPublisher(ctx.bus, classes, room, ctx.tasks("class-directory"))
    attempts = class_attempts(settings.auth, ctx.registry)
    rules = master_rules(settings.auth, settings.cluster, cluster_attempts(settings.auth, ctx.registry), attempts)
    authorizer = Authorizer(ctx.tokens, clients, rules)
    recordings = ClusterRecordings(ctx.bus, RecordingIndex(ctx.postgres), ctx.tasks("recordings"))
    recordings_api = RecordingsApi(authorizer, recordings, rooms, nodes, settings.recording)
    room_nodes, urls = RoomNodes(nodes, rooms), ClassUrls(clients, ctx.addresses)
    issuer = TokenIssuer(
        settings.auth,
        room,
        tokens=ctx.tokens,
        classes=classes,
        nodes=room_nodes,
        attempts=attempts,
        registry=ctx.registry,
    )
    tokens_api = TokensApi(issuer, attempts, clients, urls)
    classes_api = ClassesApi(
        authorizer=authorizer,
        classes=classes,
        stream_keys=stream_keys,
        rooms=rooms,
        room_events=room_events,
        room_nodes=room_nodes,
        urls=urls,
    )
    nodes_api = _nodes_api(ctx, nodes, rooms, clients, authorizer)
    joins = _join_api(ctx, nodes, clients, authorizer)
    overview = Overview(ctx.bus, ctx.postgres, settings.cache.refresh_interval_s)

    def pipeline_urls(host: str) -> StoreUrls:
        return ctx.remote_urls(PIPELINE_ACCESS, host)

    catalogue = Catalogue(ctx.bus, ctx.postgres, LookupMetrics(ctx.registry))
    pipeline = PipelineApi(overview, catalogue, authorizer, clients, pipeline_urls)
    secret = settings.auth.teacher_secret.get_secret_value()

    def routes(app: web.Application) -> None:
        tokens_api.add_routes(app)
        classes_api.add_routes(app)
        recordings_api.add_routes(app)
        nodes_api.add_routes(app)
        joins.add_routes(app)
        pipeline.add_routes(app)
        add_pages(app, _PAGES)

    async def endpoints() -> dict[str, object]:
        found = await classes.by_room(room)
        admin = _admin_endpoints(ctx.addresses, settings.auth.admin_secret.get_secret_value())
        return _endpoints(ctx.addresses, found.code, found.stream_key, secret) | admin

    async def serving() -> str:
        count = len(nodes.nodes())
        if not count:
            raise LookupError("no slave has sent a heartbeat")
        return f"{count} serving"

    return RoleParts(
        services=(
            stream_keys,
            nodes,
            Ordered(rooms, after=(nodes,)),
            Ordered(room_events, after=(rooms,)),
            recordings,
            overview,
            catalogue,
        ),
        routes={PortName.HTTP: routes},
        checks=(HealthCheck("nodes", serving, critical=False),),
        endpoints=endpoints,
    )


def _nodes_api(
    ctx: RoleContext, nodes: NodeStates, rooms: RoomStates, clients: Clients, authorizer: Authorizer
) -> NodesApi:
    settings = ctx.settings
    return NodesApi(
        section=settings.cluster,
        authorizer=authorizer,
        nodes=nodes,
        rooms=rooms,
        reservations=Reservations(ctx.bus),
        clients=clients,
    )


def _join_api(ctx: RoleContext, nodes: NodeStates, clients: Clients, authorizer: Authorizer) -> JoinApi:
    issuer = AccessIssuer(
        accesses=ctx.accesses,
        node_orders=nodes.registry,
        store_urls=ctx.remote_urls,
        shared_values=lambda access: shared_values(ctx.settings, access),
        jwt_secret=ctx.settings.auth.jwt_secret.get_secret_value(),
    )
    return JoinApi(issuer, authorizer, clients)


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


ROLE = Role(
    name="master",
    summary="pages, tokens, classes; sends viewers to slaves",
    build=build,
    needs=frozenset({Resource.REDIS, Resource.POSTGRES}),
    embeds=frozenset({Resource.REDIS, Resource.POSTGRES}),
    without={
        Resource.REDIS: "Classes on air go on. New students get in for cluster.lease_s, then have to wait.",
        Resource.POSTGRES: "Classes on air go on. Class codes open nothing, and no class is made or changed.",
    },
    ports=frozenset({PortName.HTTP}),
    needs_cluster_secrets=True,
)
