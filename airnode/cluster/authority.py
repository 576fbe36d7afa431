"""Who may read and change the cluster: nodes, admins, teachers."""

import time

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from airnode.config.sections.auth import AuthSection
from airnode.config.sections.cluster import ClusterSection
from airnode.errors import Forbidden, RateLimited, Unauthenticated
from airnode.web.clients import Clients
from airnode.web.credentials import credential, same_secret
from airnode.web.rate_limit import RateLimit
from airnode.web.tokens import Tokens, is_token


class ClusterAuthority:
    """Checks the credential of a request; wrong ones are limited per address.

    ==========  ==========================================================================
    node        the cluster token
    pipeline    ``cluster.pipeline_token``
    admin       the cluster token, ``auth.admin_secret``
    reader      these, the teacher secret, a teacher's token; anyone with ``cluster.open_status``
    ==========  ==========================================================================
    """

    def __init__(
        self,
        auth: AuthSection,
        cluster: ClusterSection,
        tokens: Tokens,
        clients: Clients,
        registry: CollectorRegistry,
    ) -> None:
        self._token = cluster.token.get_secret_value()
        self._pipeline_token = cluster.pipeline_token.get_secret_value()
        self._admins = (self._token, auth.admin_secret.get_secret_value())
        self._readers = (*self._admins, auth.teacher_secret.get_secret_value())
        self._open_status = cluster.open_status
        self._tokens = tokens
        self._clients = clients
        self._failures = RateLimit(auth.failure_rate_per_s, auth.failure_burst)
        self._refused = Counter(
            "airnode_cluster_credentials_refused_total", "Wrong credentials at /cluster", registry=registry
        )

    def require_node(self, request: web.Request) -> None:
        """Raise Unauthenticated or Forbidden (401, 403) unless this is a node of ours; RateLimited (429)."""
        if not self._token:
            raise Forbidden("This cluster takes no nodes: cluster.token is not set on the master.")
        self._require(request, (self._token,), "The cluster token is not right.")

    def require_pipeline(self, request: web.Request) -> None:
        """Raise Unauthenticated or Forbidden (401, 403) unless this is a role of the pipeline; RateLimited (429).

        The cluster token is no way in: a machine of the pipeline should not have it.
        """
        if not self._pipeline_token:
            raise Forbidden("No pipeline role gets in here: cluster.pipeline_token is not set on the master.")
        self._require(request, (self._pipeline_token,), "The pipeline token is not right.")

    def require_admin(self, request: web.Request) -> None:
        """Raise Unauthenticated or Forbidden (401, 403) unless this is an admin; RateLimited (429)."""
        self._require(request, self._admins, "This needs auth.admin_secret or the cluster token.")

    def require_reader(self, request: web.Request) -> None:
        """Raise Unauthenticated or Forbidden (401, 403) unless this may see the cluster; RateLimited (429)."""
        if self._open_status:
            return
        given = credential(request)
        if is_token(given):
            self._tokens.verify(given).require_teacher()
            return
        self._require(request, self._readers, "This needs the teacher secret, auth.admin_secret or the cluster token.")

    def _require(self, request: web.Request, secrets: tuple[str, ...], detail: str) -> None:
        address, now_s = self._clients.address(request), time.monotonic()
        if (wait_s := self._failures.wait_s(address, now_s)) > 0:
            raise RateLimited("Too many wrong credentials from your network.", retry_after_s=wait_s)
        given = credential(request)
        if not given:
            raise Unauthenticated(f"A credential is needed (Authorization: Bearer). {detail}")
        # No early end: the time must not tell which of the secrets was nearly right.
        if not any([same_secret(given, secret) for secret in secrets]):
            self._failures.take(address, now_s)
            self._refused.inc()
            raise Forbidden(detail)
