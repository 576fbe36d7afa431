"""Errors of jobs."""

import contextlib
from collections.abc import Iterator

from redis.exceptions import RedisError, ResponseError

from airnode.errors import AirnodeError, NotFound, Unavailable

#: What redis-py raises.
REDIS_ERRORS = (RedisError, OSError, TimeoutError)


class JobsNotInstalled(Unavailable):
    """Durable jobs need a package that is not installed here."""

    code, title = "jobs_not_installed", "Job queues are not installed"


class JobNotFound(NotFound):
    """The queue has no such job, or does not keep its record any more."""

    code, title = "job_not_found", "No such job"


class QueueFull(Unavailable):
    """The queue has as many waiting jobs as it may have."""

    code, title = "queue_full", "The queue is full"


class PermanentError(AirnodeError):
    """Raised by a handler: another attempt would fail too, so there is none."""

    code, title = "job_failed", "The job failed"


class JobCancelled(Exception):
    """Raised by :meth:`airnode.bus.jobs.control.JobControl.raise_if_cancelled`; the handler lets it pass."""


def unreachable(error: Exception) -> Unavailable:
    """Return what one of :data:`REDIS_ERRORS` means for the queues. HTTP 503."""
    if isinstance(error, ResponseError):
        return Unavailable("Redis refuses a command of the job queues; has its user the rights?", debug=repr(error))
    return Unavailable("Redis does not answer; the job queues cannot be reached.", debug=repr(error))


@contextlib.contextmanager
def redis_errors() -> Iterator[None]:
    """Raise ``Unavailable`` instead of what redis-py raises.

    Raises:
        Unavailable: HTTP 503.
    """
    try:
        yield
    except REDIS_ERRORS as error:
        raise unreachable(error) from error
