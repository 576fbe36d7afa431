"""What a viewer's request for a playlist, part, segment or initialization section gets, without HTTP.

Two adapters use it: :mod:`.viewer_api` (aiohttp, every kind of request) and :mod:`.viewer_connection` (the requests
that players repeat many times a second).
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter

from airnode.errors import AirnodeError, Draining, Forbidden, InvalidInput, NotFound, Unauthenticated, Unavailable
from airnode.kernel.meter import Meter
from airnode.media.hls.blocking_reload import BadRequest, Wait
from airnode.media.hls.media_store import MEDIA_TYPE, Found
from airnode.media.hls.window import PLAYLIST_TYPE, Pending
from airnode.media.room.watchable import WatchableRoom, WatchableRooms
from airnode.web.tokens import Claims, Tokens

MULTIVARIANT = "index.m3u8"
_FIRST_WAIT_S = 15.0
_RELOAD_TARGETS = 3.0

#: {kind of an answer: its headers}
ANSWER_HEADERS = {
    "playlist": {"Content-Type": PLAYLIST_TYPE, "Cache-Control": "no-cache"},
    "media": {"Content-Type": MEDIA_TYPE, "Cache-Control": "private, max-age=3600, immutable"},
}


class Directives(NamedTuple):
    """The delivery directives of a request (draft-pantos-hls-rfc8216bis 6.2.5); ``skip``: a delta update will do."""

    msn: int | None = None
    part: int | None = None
    skip: bool = False


class Answer(NamedTuple):
    """A body in pieces, and the kind that decides its headers."""

    kind: Literal["playlist", "media"]
    body: Sequence[bytes]


class ViewerAnswers:
    """Decides about requests, and counts them.

    Args:
        sent_bytes: counts the bytes of parts, segments and initialization sections.
        admits: returns whether new viewers are accepted; viewers that have joined already stay.
    """

    def __init__(
        self,
        rooms: WatchableRooms,
        tokens: Tokens,
        registry: CollectorRegistry,
        *,
        sent_bytes: Meter,
        admits: Callable[[], bool] = lambda: True,
    ) -> None:
        self._rooms = rooms
        self._tokens = tokens
        self._admits = admits
        self._sent_bytes = sent_bytes
        requests = Meter("airnode_media_requests_total", "Media requests", ["kind"], registry=registry)
        self.requests = requests
        refused = Counter("airnode_media_refused_total", "Media requests refused", ["reason"], registry=registry)
        self._bad_token = refused.labels("token")
        self._too_far = refused.labels("too_far")
        self._timed_out = refused.labels("timeout")

    def verify(self, token: str, room: str) -> Claims:
        """Return the claims of a valid token for this room.

        Raises:
            Unauthenticated, Forbidden: (401, 403), counted.
        """
        try:
            return self.known(token, room)
        except (Unauthenticated, Forbidden):
            self._bad_token.inc()
            raise

    def known(self, token: str, room: str) -> Claims:
        """Return the same as `verify`, and count no refusal.

        Raises:
            Unauthenticated, Forbidden: (401, 403).
        """
        claims = self._tokens.verify(token)
        claims.require_room(room)
        return claims

    def require_not_removed(self, claims: Claims) -> None:
        """Raise Removed (403) if the teacher has removed this student."""
        self._tokens.require_not_removed(claims.room, claims.ids)

    def room(self, name: str) -> WatchableRoom:
        """Return a room that can be watched.

        Raises:
            NotFound, Unavailable: (404, 503).
        """
        room = self._rooms.get(name)
        if room is None:
            raise NotFound("This class is not live.")
        _require_reachable(room)
        return room

    def require_admission(self) -> None:
        """Raise Draining (503) if this node takes no new viewers."""
        if not self._admits():
            raise Draining("This node takes no new viewers; ask for another place.", retry_after_s=1)

    def note(self, room: WatchableRoom, name: str, claims: Claims, now_s: float) -> None:
        """Count the viewer of an authorized request.

        Raises:
            Draining: (503) it is a new viewer, and this node takes none.
        """
        if name == MULTIVARIANT:
            self.require_admission()
        elif name == room.window.media_uri and claims.user_type == "student":
            room.viewers.note_request(claims.session_id, now_s, claims.user_id)

    def attempt(self, room: WatchableRoom, name: str, directives: Directives) -> Answer | None:
        """Return the answer to an authorized request; None: the room has to change first.

        Raises:
            Draining, InvalidInput, NotFound: (503, 400, 404).
        """
        if name == room.window.media_uri:
            return self._media_playlist(room, directives)
        if name != MULTIVARIANT:
            return self._object(room, name)
        if not room.window.ready:
            return None
        self.requests.add(1, "playlist")
        return Answer("playlist", (room.window.multivariant_playlist(),))

    def _media_playlist(self, room: WatchableRoom, directives: Directives) -> Answer | None:
        if self._rooms.draining:
            raise Draining("This node is shutting down; ask for another place.", retry_after_s=1)
        decision = room.window.resolve_reload(directives.msn, directives.part)
        if isinstance(decision, Wait):
            return None
        if isinstance(decision, BadRequest):
            self._too_far.inc()
            raise InvalidInput(decision.detail)
        self.requests.add(1, "playlist")
        return Answer("playlist", (room.window.media_playlist(skip=directives.skip),))

    def _object(self, room: WatchableRoom, name: str) -> Answer | None:
        found = room.window.lookup(name)
        if isinstance(found, Pending):
            return None
        if not isinstance(found, Found):
            raise NotFound("There is no such part or segment (any more).")
        self.requests.add(1, "object")
        self._sent_bytes.add(found.size_bytes)
        return Answer("media", found.body)

    def longest_wait_s(self, room: WatchableRoom) -> float:
        """Return for how long a request may wait: three target durations (6.2.5.2), longer for the first playlist."""
        return _RELOAD_TARGETS * room.window.target_duration_s if room.window.ready else _FIRST_WAIT_S

    def require_changing(self, room: WatchableRoom) -> None:
        """Check before each wait that the room can change.

        Raises:
            Unavailable, NotFound: (503, 404) the node is shutting down, or the room has ended.
        """
        if self._rooms.draining:
            raise Unavailable("This node is shutting down.", retry_after_s=1)
        if room.closed and self._rooms.get(room.name) is not None:
            raise Unavailable("This class comes from another node now.", retry_after_s=1)
        _require_reachable(room)
        if room.closed:
            raise NotFound("This class is not live.")

    def ended(self) -> AirnodeError:
        """Return the error of a new live response after the end of the feed."""
        return Unavailable("This node is shutting down.") if self._rooms.draining else NotFound("The class is over.")

    def timed_out(self) -> Unavailable:
        """Return the error (503) of a request that has waited for too long, and count it."""
        self._timed_out.inc()
        return Unavailable("Nothing new came in time.", retry_after_s=1)


def _require_reachable(room: WatchableRoom) -> None:
    if room.origin_unreachable:
        raise Unavailable("This node cannot reach the class's origin; ask for another place.", retry_after_s=1)
