"""BullMQ's form of jobs in Redis, without I/O: from our options to its own, and from its hashes to our records."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from airnode.bus.jobs.keys import job_ref
from airnode.bus.jobs.records import (
    MAX_PRIORITY,
    ChildResult,
    JobEvent,
    JobEventKind,
    JobOptions,
    JobRecord,
    JobRef,
    Json,
)
from airnode.bus.jobs.records import JobState as State
from airnode.errors import FieldError, InvalidInput

#: Tracebacks of this many attempts are kept.
_TRACEBACKS_MAX = 3
#: Points of the statistics that BullMQ keeps, one a minute: eight hours.
METRICS_MINUTES = 480

#: {where BullMQ keeps the ids of jobs: their state}, in the order in which jobs are listed.
PLACES: dict[str, State] = {
    "active": State.ACTIVE,
    "wait": State.WAITING,
    "paused": State.WAITING,
    "prioritized": State.WAITING,
    "delayed": State.DELAYED,
    "waiting-children": State.WAITING_CHILDREN,
    "failed": State.FAILED,
    "completed": State.COMPLETED,
}
_EVENTS = {kind.value: kind for kind in JobEventKind}
#: Those that are lists; the next job stands at the right end. The others are sorted sets.
LISTS = frozenset({"active", "wait", "paused"})
#: Those in which the newest job comes first.
NEWEST_FIRST = frozenset({"failed", "completed"})


def check_options(options: JobOptions) -> None:
    """Refuse options that no queue can follow.

    Raises:
        InvalidInput: names all that are wrong. HTTP 400.
    """
    ranges: dict[str, tuple[float, float]] = {
        "attempts": (1, 100),
        "backoff_ms": (0, 86_400_000),
        "priority": (0, MAX_PRIORITY),
        "delay_ms": (0, 366 * 86_400_000),
        "keep_completed": (0, 100_000),
        "keep_failed": (0, 100_000),
        "timeout_s": (0.001, 366 * 86_400),
    }
    wrong = [
        FieldError(f"options.{name}", f"must be from {low:g} to {high:g}")
        for name, (low, high) in ranges.items()
        if not low <= getattr(options, name) <= high
    ]
    if wrong:
        raise InvalidInput("The options of the job are out of range.", errors=wrong)


def to_bullmq(options: JobOptions, job_id: str, parent: JobRef | None, queue_key: str) -> dict[str, Any]:
    """Return the options for ``bullmq.Job``.

    Args:
        queue_key: key of the parent's queue.
    """
    found: dict[str, Any] = {
        "jobId": job_id,
        "attempts": options.attempts,
        "backoff": {"type": "exponential", "delay": options.backoff_ms},
        "priority": options.priority,
        "delay": options.delay_ms,
        "removeOnComplete": {"count": options.keep_completed},
        "removeOnFail": {"count": options.keep_failed},
        "stackTraceLimit": _TRACEBACKS_MAX,
        # BullMQ for Python and for Node.js do not know it, and keep it.
        "timeout": round(options.timeout_s * 1000),
    }
    if parent is not None:
        # The parent goes on when a child fails, and reads which ones did.
        found |= {"parent": {"id": parent.id, "queue": queue_key}, "ignoreDependencyOnFailure": True}
    return found


def options_of(fields: Mapping[str, str]) -> JobOptions:
    """Return the options of a job; what another producer left out has our default."""
    found = _object(fields.get("opts"))
    default = JobOptions()
    backoff = found.get("backoff")
    if isinstance(backoff, Mapping):
        backoff = backoff.get("delay")
    return JobOptions(
        attempts=max(1, _whole(found.get("attempts"), 1)),
        backoff_ms=_whole(backoff, 0),
        priority=_whole(fields.get("priority"), 0),
        delay_ms=_whole(found.get("delay"), 0),
        keep_completed=_kept(found.get("removeOnComplete"), default.keep_completed),
        keep_failed=_kept(found.get("removeOnFail"), default.keep_failed),
        timeout_s=_whole(found.get("timeout"), round(default.timeout_s * 1000)) / 1000,
    )


def to_record(ref: JobRef, fields: Mapping[str, str], place: str) -> JobRecord:
    """Return the record of a job.

    Args:
        fields: its hash. Values that are not as BullMQ writes them count as absent.
        place: a key of :data:`PLACES`.
    """
    data = _parsed(fields.get("data"))
    state = PLACES[place]
    return JobRecord(
        id=ref.id,
        queue=ref.queue,
        name=fields.get("name", ""),
        data=data if isinstance(data, dict) else {"value": data},
        state=State.CANCELLED if state is State.FAILED and "cancelled" in fields else state,
        progress=_parsed(fields.get("progress"), 0),
        attempts_made=_whole(fields.get("atm") or fields.get("attemptsMade"), 0),
        attempts=options_of(fields).attempts,
        priority=_whole(fields.get("priority"), 0),
        enqueued_at_ms=_whole(fields.get("timestamp"), 0),
        started_at_ms=_whole(fields.get("processedOn"), 0),
        ended_at_ms=_whole(fields.get("finishedOn"), 0),
        result=_parsed(fields.get("returnvalue")),
        failed_reason=fields.get("failedReason", ""),
        traceback=_last_traceback(fields.get("stacktrace")),
        parent=_parent(fields.get("parentKey")),
        worker=fields.get("pb", ""),
    )


def children_of(processed: Mapping[str, str], failed: Mapping[str, str]) -> list[ChildResult]:
    """Return how the children of a job ended, by their ids.

    Args:
        processed: {key of a completed child: its result as JSON}.
        failed: {key of a failed child: the reason}.
    """
    found = [ChildResult(job_ref(key), result=_parsed(text)) for key, text in processed.items()]
    found += [ChildResult(job_ref(key), failed_reason=reason or "failed") for key, reason in failed.items()]
    return sorted(found, key=lambda child: (child.ref.queue, child.ref.id))


def to_event(queue: str, fields: Mapping[str, str]) -> JobEvent | None:
    """Return an entry of a queue's stream of events; None for a kind that nobody asks for."""
    job_id, kind = fields.get("jobId"), _EVENTS.get(fields.get("event", ""))
    if not job_id or kind is None:
        return None
    return JobEvent(
        queue,
        job_id,
        kind,
        progress=_parsed(fields.get("data")),
        result=_parsed(fields.get("returnvalue")),
        failed_reason=fields.get("failedReason", ""),
    )


def per_minute(totals: Mapping[str, str], points: Sequence[str], now_ms: int) -> list[int]:
    """Return how many jobs ended in each minute, this one first, at most :data:`METRICS_MINUTES`.

    BullMQ writes a point when the first job of a later minute ends, so the newest ones are in ``totals``.

    Args:
        totals: {count, prevCount, prevTS}: jobs so far, jobs before the minute of ``prevTS`` (unix ms).
        points: jobs of the minutes before that one, the newest first.
    """
    if "prevTS" not in totals:
        return []
    idle = now_ms // 60_000 - _whole(totals["prevTS"], now_ms) // 60_000
    newest = _whole(totals.get("count"), 0) - _whole(totals.get("prevCount"), 0)
    counts = [*[0] * min(max(idle, 0), METRICS_MINUTES), newest, *(_whole(each, 0) for each in points)]
    return counts[:METRICS_MINUTES]


def to_json(value: Json) -> str:
    """Return a value as JSON, as BullMQ writes it.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _parent(key: str | None) -> JobRef | None:
    return job_ref(key) if key else None


def _last_traceback(text: str | None) -> str:
    found = _parsed(text)
    return str(found[-1]) if isinstance(found, list) and found else ""


def _kept(value: object, default: int) -> int:
    """Return how many records to keep, from ``{count}``, a number, or whether to remove it at once."""
    if isinstance(value, Mapping):
        return _whole(value.get("count"), default)
    if isinstance(value, bool):
        return 0 if value else default
    return _whole(value, default)


def _object(text: str | None) -> dict[str, Any]:
    found = _parsed(text)
    return found if isinstance(found, dict) else {}


def _parsed(text: str | None, default: Json = None) -> Json:
    try:
        return default if text is None else json.loads(text)
    except ValueError:
        return default


def _whole(value: object, default: int) -> int:
    try:
        return int(value) if isinstance(value, str | int | float) else default
    except (ValueError, OverflowError):
        return default
