"""Names of the keys and channels of durable jobs, and the rights that they take.

BullMQ makes all keys of a queue from a prefix. Ours has a hash tag, so that the queues of one flow are in one slot of a
Redis Cluster. Node's tools find the queues with the same prefix: ``--prefix 'airnode:{jobs}'``.
"""

import re

from airnode.bus import keys
from airnode.bus.jobs.records import JobRef
from airnode.errors import InvalidInput
from airnode.kernel.access import RedisAccess

PREFIX = f"{keys.PREFIX}{{jobs}}"
#: The set of the names of all queues into which something was ever enqueued.
QUEUES = f"{PREFIX}:queues"
#: The group of the leases of workers.
WORKERS = "job-workers"

#: Parts of a queue's keys that are no jobs.
_RESERVED = frozenset(
    (
        *("active", "wait", "waiting-children", "paused", "completed", "failed", "delayed", "repeat", "stalled"),
        *("stalled-check", "limiter", "prioritized", "id", "meta", "pc", "events", "marker", "de", "dn", "metrics"),
    )
)
_QUEUE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


def of_queue(queue: str, part: str) -> str:
    """Return a key of a queue, such as its list ``wait``, or the hash of a job by its id."""
    return f"{PREFIX}:{queue}:{part}"


def channel(queue: str) -> str:
    """Return the name of the channel on which cancelled jobs of a queue are published."""
    return f"jobs.{queue}"


def job_ref(key: str) -> JobRef:
    """Return the job of the key of a job's hash."""
    queue, _, job_id = key.removeprefix(f"{PREFIX}:").partition(":")
    return JobRef(queue, job_id)


def check_queue(queue: str) -> None:
    """Refuse a bad name of a queue.

    Raises:
        InvalidInput: HTTP 400.
    """
    if not _QUEUE.match(queue):
        raise InvalidInput(f"{queue[:70]!r} is no name of a queue: up to 63 lower-case letters, digits, '-' and '_'.")


def check_job(queue: str, job_id: str) -> None:
    """Refuse a bad name of a queue or a bad id of a job.

    Raises:
        InvalidInput: HTTP 400.
    """
    check_queue(queue)
    # BullMQ numbers jobs without an id, so it refuses ids that are integers.
    if not _ID.match(job_id) or job_id.isdecimal() or job_id in _RESERVED:
        raise InvalidInput(
            f"{job_id[:140]!r} is no id of a job: up to 128 letters, digits, '.', '-' and '_', not a number, "
            "and no word that BullMQ uses."
        )


def check_name(name: str) -> None:
    """Refuse a bad name of a handler.

    Raises:
        InvalidInput: HTTP 400.
    """
    if not _ID.match(name):
        raise InvalidInput(f"{name[:140]!r} is no name of a job: up to 128 letters, digits, '.', '-' and '_'.")


def jobs_access(*queues: str) -> RedisAccess:
    """Return the rights of a role that enqueues into these queues and works them, and no others.

    All queues of a flow must be named, because the end of a child moves its parent.
    """
    for queue in queues:
        check_queue(queue)
    return RedisAccess(
        keys=(
            *(of_queue(queue, "*") for queue in queues),
            QUEUES,
            keys.lease_values(WORKERS),
            keys.lease_ends(WORKERS),
        ),
        channels=tuple(keys.channel(channel(queue)) for queue in queues),
        categories=("list", "pubsub"),
        commands=("script|exists",),
    )
