"""Errors of jobs."""

from airnode.errors import AirnodeError, NotFound, Unavailable


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
