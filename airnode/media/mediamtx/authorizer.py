"""Authorizes clients of MediaMTX, which asks airnode over HTTP before it admits a client.

The rules for publishers are those of RTMP ingest (:class:`PublishAuthority`): the stream key is the parameter ``key``,
the password, the bearer token (OBS sends this for WHIP) or the path itself. Only airnode may read, with its own secret:
airnode admits, serves and counts the viewers, and MediaMTX never receives their tokens.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import msgspec
import structlog

from airnode.errors import AirnodeError, Conflict, Forbidden, InvalidInput, Unauthenticated
from airnode.media.mediamtx.api import MediaMtxMetrics
from airnode.media.mediamtx.config_file import API_USER
from airnode.media.room.rooms import Rooms
from airnode.media.rtmp.publishing import PublishAuthority, PublishRefusal, PublishRequest
from airnode.web.credentials import same_secret
from airnode.web.rate_limit import AttemptLimit

log = structlog.get_logger(__name__)

#: Most admitted publishers that have not sent media yet.
_MAX_GRANTS = 1_000
_MAX_FIELD_CHARS = 2_048


class AuthRequest(msgspec.Struct):
    """The body of MediaMTX's authorization request (``authMethod: http``).

    MediaMTX sends ``{"user", "password", "token", "ip", "action", "path", "protocol", "id", "query", "userAgent"}``;
    fields that are not needed here are ignored.
    """

    action: str
    path: str = ""
    protocol: str = ""
    ip: str = ""
    query: str = ""
    user: str = ""
    password: str = ""
    token: str = ""


class KeyRefused(Unauthenticated):
    """The publisher's key or path is wrong."""

    code, title = "publish_refused", "Publishing refused"


@dataclass(frozen=True, slots=True)
class PublishGrant:
    """An admitted publisher. Its media must arrive before ``until_s`` (monotonic time)."""

    room: str
    key: str = field(repr=False)
    remote: str
    protocol: str
    until_s: float


class MediaMtxAuthorizer:
    """Decides MediaMTX's requests, and stores a grant for each admitted publisher until its media arrive.

    Args:
        secret: airnode's own secret, for reading and for the API.
        wrong_keys: the limit of wrong stream keys per network.
        granted: called after a publisher was admitted.
    """

    def __init__(
        self,
        authority: PublishAuthority,
        rooms: Rooms,
        secret: str,
        metrics: MediaMtxMetrics,
        *,
        wrong_keys: AttemptLimit,
        publish_timeout_s: float,
        granted: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authority = authority
        self._rooms = rooms
        self._secret = secret
        self._metrics = metrics
        self._wrong_keys = wrong_keys
        self._publish_timeout_s = publish_timeout_s
        self._granted = granted
        self._clock = clock
        #: {path: the last publisher admitted there}. Bounded by _MAX_GRANTS.
        self._grants: dict[str, PublishGrant] = {}

    async def decide(self, request: AuthRequest) -> None:
        """Admit the client of a request, or raise an error.

        Raises:
            AirnodeError: the request is not allowed; MediaMTX logs the detail.
        """
        try:
            if request.action == "publish":
                await self._publish(request)
            elif not self._is_airnode(request):
                raise Forbidden("Watch through airnode; MediaMTX is only where publishers come in.")
        except AirnodeError as error:
            self._metrics.refused.labels(error.code if request.action == "publish" else "not_airnode").inc()
            log.info(
                "mediamtx_request_refused",
                action=request.action,
                protocol=request.protocol,
                remote=request.ip,
                reason=error.code,
                detail=error.detail,
            )
            raise

    def take(self, path: str) -> PublishGrant | None:
        """Return the grant of this path, and remove it; None: the path has no grant."""
        self._forget_old()
        return self._grants.pop(path, None)

    @property
    def awaiting(self) -> bool:
        """Return whether an admitted publisher has not sent media yet."""
        self._forget_old()
        return bool(self._grants)

    async def _publish(self, request: AuthRequest) -> None:
        if max(len(request.path), len(request.query), len(request.password), len(request.token)) > _MAX_FIELD_CHARS:
            raise InvalidInput("The path, the query or the key is too long.")
        publish = publish_request(request)
        self._wrong_keys.check(request.ip)
        decision = await self._authority.authorize(publish)
        if isinstance(decision, PublishRefusal):
            self._wrong_keys.count_wrong(request.ip, "key")
            raise KeyRefused(decision.description)
        self._rooms.require_turn(decision, publish.key)
        self._forget_old()
        if any(grant.room == decision and path != request.path for path, grant in self._grants.items()):
            raise Conflict("This class is live already; end the other stream first.")
        if len(self._grants) >= _MAX_GRANTS:
            raise Conflict("Too many publishers begin at once; try again in a moment.")
        until_s = self._clock() + self._publish_timeout_s
        self._grants[request.path] = PublishGrant(decision, publish.key, request.ip, request.protocol, until_s)
        self._granted()

    def _is_airnode(self, request: AuthRequest) -> bool:
        given = request.token or (request.password if request.user == API_USER else "")
        return same_secret(given, self._secret)

    def _forget_old(self) -> None:
        now_s = self._clock()
        for path in [path for path, grant in self._grants.items() if grant.until_s < now_s]:
            del self._grants[path]


def publish_request(request: AuthRequest) -> PublishRequest:
    """Return the equivalent publish request of an RTMP publisher."""
    app, _, name = request.path.strip("/").partition("/")
    params = dict(parse_qsl(request.query, keep_blank_values=True, max_num_fields=50))
    given = params.get("key") or request.password or request.token
    if given:
        params["key"] = given
    secure = request.protocol in ("rtmps", "rtsps")
    return PublishRequest(app, name, params, request.ip, given or name, secure)
