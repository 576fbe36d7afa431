"""A slave's way into the cluster: it asks a master, and is told where the bus is and with which key tokens verify."""

import structlog
from pydantic import SecretStr

import airnode
from airnode.cluster.contract import HeartbeatAnswer, HeartbeatRequest, RegisterRequest, Registration
from airnode.config.model import Settings
from airnode.config.sections.cluster import ClusterSection
from airnode.errors import ConfigError, StartupError, Unavailable
from airnode.runtime.context import JoinContext
from airnode.runtime.role import Join
from airnode.web.addresses import PortName
from airnode.web.master_client import Master, Refused, until_answered

log = structlog.get_logger(__name__)


class MasterClient:
    """Speaks to ``cluster.master_url`` with the cluster token."""

    def __init__(self, section: ClusterSection) -> None:
        self._master = Master(section.master_url, section.token.get_secret_value())

    @property
    def url(self) -> str:
        """The master's address."""
        return self._master.url

    async def register(self, request: RegisterRequest) -> Registration:
        """Join. Raises Unavailable (not now), Refused (never with this credential)."""
        return await self._master.post("/cluster/register", request, Registration)

    async def heartbeat(self, request: HeartbeatRequest) -> HeartbeatAnswer:
        """Beat. Raises Unavailable; a refusal is one too: the next beat may get through."""
        try:
            return await self._master.post("/cluster/heartbeat", request, HeartbeatAnswer)
        except Refused as error:
            raise Unavailable(str(error)) from None


def join(ctx: JoinContext) -> Join | None:
    """What a slave awaits before its stores: the settings with what a master answered. None: it has no master to ask.

    Raises:
        ConfigError: there is a master's address but no cluster token.
    """
    section = ctx.settings.cluster
    if not section.master_url or ctx.has_own_secrets:
        return None
    if not section.token.get_secret_value():
        raise ConfigError(
            f"airnode: the cluster token is needed to join {section.master_url}: give the master's as "
            "AIRNODE_CLUSTER__TOKEN, cluster.token or cluster.token_file."
        )

    async def joined(settings: Settings) -> Settings:
        return completed(settings, await _registered(MasterClient(section), _request(ctx)))

    return joined


def _request(ctx: JoinContext) -> RegisterRequest:
    settings = ctx.settings
    return RegisterRequest(
        node_id=ctx.identity.node_id,
        node_name=ctx.identity.node_name,
        media_port=ctx.addresses.ports.get(PortName.MEDIA, settings.media.port),
        rtmp_port=settings.rtmp.port,
        max_connections=settings.cluster.max_connections,
        version=airnode.__version__,
        host=settings.node.host,
        bandwidth_bps=settings.cluster.bandwidth_bps,
    )


async def _registered(master: MasterClient, request: RegisterRequest) -> Registration:
    """Raises StartupError where the master refuses the token."""
    found = await until_answered(master.url, lambda: master.register(request))
    log.info("cluster_joined", master_url=master.url, node_id=found.node_id, node_host=found.node_host)
    return found


def completed(settings: Settings, found: Registration) -> Settings:
    """The settings with the master's answer where they say nothing themselves; its times hold for all nodes, and so
    does what it says about recording.

    Raises:
        StartupError: the keys differ, or there is no Redis that this node could reach.
    """
    own_key = settings.auth.jwt_secret.get_secret_value()
    if own_key and own_key != found.jwt_secret:
        raise StartupError(
            "JWT_SECRET_KEY (auth.jwt_secret) is not the master's: leave it out, the master hands it over."
        )
    redis = settings.redis
    if not redis.url and not redis.host:
        if not found.redis_url:
            raise StartupError("The master's Redis is a unix socket: give both nodes an address with redis.url.")
        redis = redis.model_copy(update={"url": found.redis_url})
    cluster = settings.cluster.model_copy(update={"heartbeat_s": found.heartbeat_s, "lease_s": found.lease_s})
    recording = settings.recording.model_copy(
        update={"mode": found.recording_mode, "student_download": found.student_download}
    )
    return settings.model_copy(
        update={
            "redis": redis,
            "cluster": cluster,
            "recording": recording,
            "auth": settings.auth.model_copy(update={"jwt_secret": SecretStr(found.jwt_secret)}),
            "node": settings.node.model_copy(update={"host": settings.node.host or found.node_host}),
        }
    )


def check_master(ctx: JoinContext) -> None:
    """Raise ConfigError where a master that is not a whole cluster by itself lacks what nodes share."""
    settings = ctx.settings
    needed = {
        "JWT_SECRET_KEY (auth.jwt_secret)": settings.auth.jwt_secret,
        "AIRNODE_CLUSTER__TOKEN (cluster.token)": settings.cluster.token,
    }
    missing = [name for name, secret in needed.items() if not secret.get_secret_value()]
    if missing and not ctx.has_own_secrets:
        raise ConfigError(
            f"airnode: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set; all masters of a "
            "cluster share the same. Make each with: openssl rand -hex 32"
        )
