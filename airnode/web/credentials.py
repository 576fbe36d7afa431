"""The sender of a request and its rights. All endpoints use this one table of rights.

A request carries one credential (``Authorization: Bearer``, or ``?jwt=``): a token that we signed, or a secret of the
configuration. To add a right, add a member to :class:`Right` and its line to :func:`master_rules`.
"""

import enum
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from airnode.config.sections.auth import AuthSection
from airnode.config.sections.cluster import ClusterSection
from airnode.errors import Forbidden, Unauthenticated
from airnode.kernel.access import JoinToken
from airnode.web.clients import Clients
from airnode.web.rate_limit import AttemptLimit, RateLimit
from airnode.web.tokens import Claims, Tokens, is_token


class Right(enum.StrEnum):
    """The rights of senders at a master. The right to join is a :class:`JoinToken` instead."""

    ADMIN = "admin"  # drain and remove nodes, see the pipeline
    READER = "reader"  # see the nodes and the streams
    TEACHER = "teacher"  # make classes, record them, renew their keys
    TRANSCRIBER = "transcriber"  # have audio transcribed


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The conditions for a right.

    Attributes:
        secrets: each of them gives the right; an empty one matches nothing.
        attempts: limits how often a network may send wrong ones.
        refusal: the sentence of the 403 for a wrong secret.
        when_unset: the sentence of the 403 if no secret is configured; empty: ``refusal``.
        missing: the sentence of the 401 for a request without a credential; empty: it counts as a wrong secret.
        teacher_token: whether a teacher's token gives the right, too.
        for_everybody: whether everybody has the right, without a credential.
    """

    secrets: tuple[str, ...]
    attempts: AttemptLimit
    refusal: str
    when_unset: str = ""
    missing: str = ""
    teacher_token: bool = False
    for_everybody: bool = False


def master_rules(
    auth: AuthSection,
    cluster: ClusterSection,
    join_tokens: Iterable[JoinToken],
    cluster_attempts: AttemptLimit,
    class_attempts: AttemptLimit,
) -> dict[Right | JoinToken, Rule]:
    """Return the rule of each right at a master.

    A join token gives the right to join with the accesses that declare it. The cluster token does not replace
    another join token: a machine of the pipeline should not need the cluster token.
    """
    token = cluster.token.get_secret_value()
    admin_secret = auth.admin_secret.get_secret_value()
    teacher_secret = auth.teacher_secret.get_secret_value()

    def cluster_rule(
        *secrets: str,
        refusal: str,
        when_unset: str = "",
        teacher_token: bool = False,
        for_everybody: bool = False,
    ) -> Rule:
        return Rule(
            secrets=secrets,
            attempts=cluster_attempts,
            refusal=refusal,
            when_unset=when_unset,
            missing=f"A credential is needed (Authorization: Bearer). {refusal}",
            teacher_token=teacher_token,
            for_everybody=for_everybody,
        )

    joins: dict[Right | JoinToken, Rule] = {
        each: cluster_rule(
            cluster.join_token(each.key),
            refusal=f"The {each.name} is not right.",
            when_unset=f"Nothing can join with the {each.name}: {each.path} is not set on the master.",
        )
        for each in join_tokens
    }
    return joins | {
        Right.ADMIN: cluster_rule(token, admin_secret, refusal="This needs auth.admin_secret or the cluster token."),
        Right.READER: cluster_rule(
            token,
            admin_secret,
            teacher_secret,
            refusal="This needs the teacher secret, auth.admin_secret or the cluster token.",
            teacher_token=True,
            for_everybody=cluster.open_status,
        ),
        Right.TEACHER: Rule(
            secrets=(teacher_secret,),
            attempts=class_attempts,
            refusal="The teacher secret is not right.",
            missing="A credential is needed (Authorization: Bearer): the teacher secret or a teacher's token.",
            teacher_token=True,
        ),
        Right.TRANSCRIBER: Rule(
            secrets=(teacher_secret, admin_secret),
            attempts=class_attempts,
            refusal="This needs an API key, the teacher secret or auth.admin_secret.",
            missing="A credential is needed (Authorization: Bearer): an API key, the teacher secret or a teacher's "
            "token.",
            teacher_token=True,
        ),
    }


class Authorizer:
    """Checks the credentials of requests, and counts wrong ones per network.

    Args:
        rules: {right or join token: its rule}.
    """

    def __init__(self, tokens: Tokens, clients: Clients, rules: Mapping[Right | JoinToken, Rule]) -> None:
        self._tokens = tokens
        self._clients = clients
        self._rules = rules

    def require(self, request: web.Request, right: Right | JoinToken, room: str | None = None) -> None:
        """Check that the sender has ``right``; with ``room``, a token must be for that room.

        What teachers may do or see without naming a room concerns all classes: the key of one class does not do.

        Raises:
            Unauthenticated: (401) no credential, or a token that is not valid.
            Forbidden: (403) a wrong secret, or a token without that right.
            RateLimited: (429) too many wrong ones from that network.
        """
        rule = self._rules[right]
        if rule.for_everybody:
            return
        given = credential(request)
        if rule.teacher_token and is_token(given):
            claims = self._tokens.verify(given)
            claims.require_teacher()
            if room is not None:
                claims.require_room(room)
            else:
                claims.require_every_class()
            return
        if rule.when_unset and not any(rule.secrets):
            raise Forbidden(rule.when_unset)
        address = self._clients.address(request)
        rule.attempts.check(address)
        if not given and rule.missing:
            raise Unauthenticated(rule.missing)
        self._check_secret(rule, address, given)

    def taught_room(self, request: web.Request) -> str | None:
        """Return the only room that a teacher may see, by the key of a class; None: all. Raises as ``require``."""
        given = credential(request)
        if is_token(given):
            claims = self._tokens.verify(given)
            claims.require_teacher()
            return claims.room if claims.own_class else None
        self.require(request, Right.TEACHER)
        return None

    def room_claims(self, request: web.Request, room: str) -> Claims:
        """Return the claims of a token for ``room``.

        Raises:
            Unauthenticated: (401) no valid token. Forbidden: (403) a token for another room.
        """
        claims = self._tokens.verify(credential(request))
        claims.require_room(room)
        return claims

    def is_teacher(self, request: web.Request, room: str) -> bool:
        """Return True for a teacher, False for a student of ``room``. Raises as ``require`` for others."""
        if is_token(credential(request)):
            return self.room_claims(request, room).user_type == "teacher"
        self.require(request, Right.TEACHER)
        return True

    def _check_secret(self, rule: Rule, address: str, given: str) -> None:
        # All are compared, so that the time does not show which of them was nearly right.
        if not any([same_secret(given, secret) for secret in rule.secrets]):
            rule.attempts.count_wrong(address, "secret")
            raise Forbidden(rule.refusal)


def cluster_attempts(auth: AuthSection, registry: CollectorRegistry) -> AttemptLimit:
    """Return the limit of wrong secrets at ``/cluster``, with its counter."""
    refused = Counter("airnode_cluster_credentials_refused_total", "Wrong credentials at /cluster", registry=registry)
    return AttemptLimit(
        RateLimit(auth.failure_rate_per_s, auth.failure_burst),
        message="Too many wrong credentials from your network.",
        on_refused=lambda reason: refused.inc() if reason != "rate" else None,
    )


def class_attempts(auth: AuthSection, registry: CollectorRegistry) -> AttemptLimit:
    """Return the limit of token requests, wrong class codes and wrong teacher secrets, with its counter.

    Wrong ones have their own limit: a whole school behind one address can join at once, but codes cannot be guessed.
    """
    refused = Counter("airnode_tokens_refused_total", "Token requests refused", ["reason"], registry=registry)
    return AttemptLimit(
        RateLimit(auth.failure_rate_per_s, auth.failure_burst),
        message="Too many requests from your network; try again in a moment.",
        requests=RateLimit(auth.token_rate_per_s, auth.token_burst),
        on_refused=lambda reason: refused.labels(reason).inc(),
    )


def credential(request: web.Request) -> str:
    """Return the token or secret of a request: ``Authorization: Bearer``, else ``?jwt=``; empty without one."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return request.query.get("jwt", "")


def same_secret(given: str, expected: str) -> bool:
    """Return whether both are equal, in constant time; an empty ``expected`` matches nothing."""
    # Bytes of a header that are not UTF-8 arrive as surrogates, which encode() alone refuses.
    raw = given.encode(errors="surrogatepass")
    return bool(expected) and hmac.compare_digest(raw, expected.encode())
