"""Who may do what with MediaMTX: it asks airnode over HTTP before it lets anybody in.

Publishers are held to the rules of RTMP ingest (:class:`PublishAuthority`): the stream key is the parameter ``key``,
the password, the bearer token (what OBS sends for WHIP) or the path itself. Reading is for airnode alone, which shows
its own secret: viewers are served, counted and let in by airnode, and their tokens never come here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import msgspec
import structlog

from airnode.errors import AirnodeError, Conflict, Forbidden, InvalidInput, Unauthenticated
from airnode.media.mediamtx.metrics import MediaMtxMetrics
from airnode.media.mediamtx.settings import API_USER
from airnode.media.room.rooms import Rooms
from airnode.media.rtmp.publishing import PublishAuthority, PublishRefusal, PublishRequest
from airnode.web.credentials import same_secret
from airnode.web.rate_limit import AttemptLimit

log = structlog.get_logger(__name__)

#: Most publishers that were let in and have not sent anything yet.
_MOST_GRANTS = 1_000
_LONGEST = 2_048


class Asked(msgspec.Struct):
    """What MediaMTX asks (``authMethod: http``): ``{"user", "password", "token", "ip", "action", "path", "protocol",
    "id", "query", "userAgent"}``; what is not needed here is passed over.
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
    """A publisher's key or path is not right."""

    code, title = "publish_refused", "Publishing refused"


@dataclass(frozen=True, slots=True)
class Grant:
    """A publisher was let in; its media is awaited until ``until_s`` (loop time)."""

    room: str
    key: str = field(repr=False)
    remote: str
    protocol: str
    until_s: float


class Gate:
    """Answers MediaMTX's questions, and keeps whom it let in until their media comes.

    Args:
        secret: with which airnode itself reads and asks the API.
        wrong_keys: how many may come from one network before it has to wait.
        granted: called when somebody was let in.
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
        #: {path: who was let in there last}. Bounded by _MOST_GRANTS.
        self._grants: dict[str, Grant] = {}

    async def decide(self, asked: Asked) -> None:
        """Return where it may be done.

        Raises:
            AirnodeError: it may not, with the sentence that MediaMTX logs.
        """
        try:
            if asked.action == "publish":
                await self._publish(asked)
            elif not self._is_airnode(asked):
                raise Forbidden("Watch through airnode; MediaMTX is only where publishers come in.")
        except AirnodeError as error:
            self._metrics.refused.labels(error.code if asked.action == "publish" else "not_airnode").inc()
            log.info(
                "mediamtx_request_refused",
                action=asked.action,
                protocol=asked.protocol,
                remote=asked.ip,
                reason=error.code,
                detail=error.detail,
            )
            raise

    def take(self, path: str) -> Grant | None:
        """Who was let in at this path; it counts once."""
        self._forget_old()
        return self._grants.pop(path, None)

    @property
    def awaiting(self) -> bool:
        """Whether somebody was let in whose media has not come yet."""
        self._forget_old()
        return bool(self._grants)

    async def _publish(self, asked: Asked) -> None:
        if max(len(asked.path), len(asked.query), len(asked.password), len(asked.token)) > _LONGEST:
            raise InvalidInput("The path, the query or the key is too long.")
        request = publish_request(asked)
        self._wrong_keys.check(asked.ip)
        decision = await self._authority.authorize(request)
        if isinstance(decision, PublishRefusal):
            self._wrong_keys.count_wrong(asked.ip, "key")
            raise KeyRefused(decision.description)
        self._rooms.require_turn(decision, request.key)
        self._forget_old()
        if any(grant.room == decision and path != asked.path for path, grant in self._grants.items()):
            raise Conflict("This class is live already; end the other stream first.")
        if len(self._grants) >= _MOST_GRANTS:
            raise Conflict("Too many publishers begin at once; try again in a moment.")
        until_s = self._clock() + self._publish_timeout_s
        self._grants[asked.path] = Grant(decision, request.key, asked.ip, asked.protocol, until_s)
        self._granted()

    def _is_airnode(self, asked: Asked) -> bool:
        given = asked.token or (asked.password if asked.user == API_USER else "")
        return same_secret(given, self._secret)

    def _forget_old(self) -> None:
        now_s = self._clock()
        for path in [path for path, grant in self._grants.items() if grant.until_s < now_s]:
            del self._grants[path]


def publish_request(asked: Asked) -> PublishRequest:
    """The same that an RTMP publisher would ask."""
    app, _, name = asked.path.strip("/").partition("/")
    params = dict(parse_qsl(asked.query, keep_blank_values=True, max_num_fields=50))
    given = params.get("key") or asked.password or asked.token
    if given:
        params["key"] = given
    secure = asked.protocol in ("rtmps", "rtsps")
    return PublishRequest(app, name, params, asked.ip, given or name, secure)
