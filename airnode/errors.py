"""The one error tree.

Each class has a stable ``code`` (part of ``urn:airnode:problem:<code>``) and an HTTP ``status``.
``detail`` and ``fields`` are safe to show to a client. All other text goes into ``debug``, which is only logged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of an input: ``path`` is dotted, ``message`` is a sentence for people."""

    path: str
    message: str


class AirnodeError(Exception):
    """Base of every error that airnode raises on purpose.

    Args:
        detail: one sentence for people: what happened and the next step.
        errors: the input fields that are wrong, if any.
        retry_after_s: seconds until the client may try again; also sent as ``Retry-After``.
        fields: additional members of the problem document, safe for clients.
        debug: text for the log only, never sent.
    """

    code: str = "internal"
    title: str = "Internal error"
    status: int = 500

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        retry_after_s: float | None = None,
        fields: Mapping[str, object] | None = None,
        debug: str = "",
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s
        self.fields = dict(fields or {})
        self.debug = debug


class InvalidInput(AirnodeError):
    """The request is invalid."""

    code, title, status = "invalid_input", "Invalid input", 400


class Unauthenticated(AirnodeError):
    """The credential is missing, wrong or expired."""

    code, title, status = "unauthenticated", "Not signed in", 401


class Forbidden(AirnodeError):
    """The credential is valid, but does not allow this request."""

    code, title, status = "forbidden", "Not allowed", 403


class Removed(Forbidden):
    """The teacher removed this student from the class."""

    code, title = "removed", "Removed from the class"


class NotFound(AirnodeError):
    """The requested resource does not exist."""

    code, title, status = "not_found", "Not found", 404


class Conflict(AirnodeError):
    """The request conflicts with the current state."""

    code, title, status = "conflict", "Conflict", 409


class TooLarge(AirnodeError):
    """The input is above a size limit."""

    code, title, status = "too_large", "Too large", 413


class RateLimited(AirnodeError):
    """The client is above a configured rate."""

    code, title, status = "rate_limited", "Too many requests", 429


class Unavailable(AirnodeError):
    """The request cannot be served now; it may work later or on another node."""

    code, title, status = "unavailable", "Service unavailable", 503


class NoHealthyNodes(Unavailable):
    """No node can take a viewer or a publisher."""

    code, title = "no_healthy_nodes", "No healthy nodes available"


class Draining(Unavailable):
    """This node is stopping and accepts no new work."""

    code, title = "draining", "Shutting down"


class StartupError(AirnodeError):
    """The node cannot run as configured: one plain sentence, exit code 2."""

    code, title = "startup", "Cannot start"


class ConfigError(StartupError):
    """The configuration is wrong; ``str(error)`` is the whole text for a terminal."""

    code, title = "config", "Configuration is invalid"
