"""The one error tree.

Each class has a stable ``code`` (part of ``urn:airnode:problem:<code>``) and an HTTP ``status``.
``detail`` and ``fields`` are safe to show to a client; whatever is not goes into ``debug``, which is only logged.
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
        errors: the single fields that are wrong, if any.
        retry_after_s: when to try again; rendered as ``Retry-After`` too.
        fields: extra client-safe members of the problem document.
        debug: for the log only, never sent.
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
    """The request itself is wrong."""

    code, title, status = "invalid_input", "Invalid input", 400


class Unauthenticated(AirnodeError):
    """No credential, or one that is wrong or expired."""

    code, title, status = "unauthenticated", "Not signed in", 401


class Forbidden(AirnodeError):
    """The credential is good, but not for this."""

    code, title, status = "forbidden", "Not allowed", 403


class NotFound(AirnodeError):
    """There is no such thing."""

    code, title, status = "not_found", "Not found", 404


class Conflict(AirnodeError):
    """It clashes with what is there."""

    code, title, status = "conflict", "Conflict", 409


class TooLarge(AirnodeError):
    """Above a configured size limit."""

    code, title, status = "too_large", "Too large", 413


class RateLimited(AirnodeError):
    """Above a configured rate."""

    code, title, status = "rate_limited", "Too many requests", 429


class Unavailable(AirnodeError):
    """Not now; later or elsewhere."""

    code, title, status = "unavailable", "Service unavailable", 503


class NoHealthyNodes(Unavailable):
    """No node can take a viewer or a publisher."""

    code, title = "no_healthy_nodes", "No healthy nodes available"


class Draining(Unavailable):
    """This node is going down and takes no new work."""

    code, title = "draining", "Shutting down"


class StartupError(AirnodeError):
    """The node cannot run as configured: one plain sentence, exit code 2."""

    code, title = "startup", "Cannot start"


class ConfigError(StartupError):
    """The configuration is wrong; ``str(error)`` is the whole text for a terminal."""

    code, title = "config", "Configuration is invalid"
