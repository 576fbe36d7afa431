"""Who may use the master's API: bearers of tokens, and whoever knows the teacher's secret."""

from aiohttp import web

from airnode.cluster.admission import Admission
from airnode.web.clients import Clients
from airnode.web.credentials import credential
from airnode.web.tokens import Claims, Tokens, is_token


class Gate:
    """Checks credentials; wrong secrets count against the address that they come from."""

    def __init__(self, tokens: Tokens, admission: Admission, clients: Clients) -> None:
        self._tokens = tokens
        self._admission = admission
        self._clients = clients

    def claims_for(self, request: web.Request, room: str) -> Claims:
        """The claims of a token that is good for ``room``; Unauthenticated (401) or Forbidden (403) without one."""
        claims = self._tokens.verify(credential(request))
        claims.require_room(room)
        return claims

    def require_teacher(self, request: web.Request, room: str | None = None) -> None:
        """A teacher's token (for ``room``), or the teacher secret itself.

        Raises:
            Unauthenticated, Forbidden, RateLimited: (401, 403, 429) neither, or too many wrong ones.
        """
        given = credential(request)
        if is_token(given):
            claims = self._tokens.verify(given)
            claims.require_teacher()
            if room is not None:
                claims.require_room(room)
            return
        address = self._clients.address(request)
        self._admission.check_rate(address)
        self._admission.check_teacher(address, given)

    def is_teacher(self, request: web.Request, room: str) -> bool:
        """Whether it is a teacher who may see ``room``; whoever may not see it at all is refused as above."""
        if is_token(credential(request)):
            return self.claims_for(request, room).user_type == "teacher"
        self.require_teacher(request)
        return True
