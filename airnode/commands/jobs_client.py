"""The work of ``airnode jobs``: asks a master, and renders its answers."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import aiohttp
import msgspec

from airnode.commands.dlq_view import columns
from airnode.commands.top import Target, find_target
from airnode.errors import AirnodeError, StartupError
from airnode.kernel.connection_errors import connection_failure
from airnode.runtime import endpoints
from airnode.web.job_types import JobDetail, JobList, JobQueues, JobView

_TIMEOUT_S = 15.0


def find_admin_target(url: str, secret: str, data_dir: Path) -> Target:
    """Return the master and an admin's credential; an empty value comes from the node that runs with ``data_dir``.

    Raises:
        StartupError: there is neither an address nor a running master.
    """
    target = find_target(url, secret, data_dir)
    if secret:
        return target
    try:
        local = endpoints.read(data_dir)
    except StartupError:
        return target
    is_local = not url or target.url == str(local.get("api_url", "")).rstrip("/")
    return Target(target.url, str(local.get("admin_secret", ""))) if is_local else target


def path(*parts: str) -> str:
    """Return a path of the API of jobs."""
    return "/".join(("/api/jobs", *(quote(part, safe="") for part in parts)))


def ask(target: Target, method: str, where: str, query: Mapping[str, str | int] | None = None) -> bytes:
    """Return the answer of the master.

    Raises:
        AirnodeError: it cannot be reached, or refuses; says why.
    """
    return asyncio.run(_ask(target, method, where, query or {}))


async def _ask(target: Target, method: str, where: str, query: Mapping[str, str | int]) -> bytes:
    headers = {"Authorization": f"Bearer {target.secret}"} if target.secret else {}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.request(method, target.url + where, params=query) as response,
        ):
            body = await response.read()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise AirnodeError(connection_failure(target.url, error, "master")) from None
    if response.status != 200:
        raise AirnodeError(_refusal(response.status, body))
    return body


def _refusal(status: int, body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{status}: this is no airnode master, or an older one"


def has_ended_otherwise(answer: bytes) -> bool:
    """Return whether a job that was to be cancelled had completed or failed before."""
    return msgspec.json.decode(answer, type=JobView).state in ("completed", "failed")


def overview(answer: bytes) -> str:
    """Return the queues and the workers as tables."""
    found = msgspec.json.decode(answer, type=JobQueues)
    if not found.queues and not found.workers:
        return "There are no queues yet."
    rows: list[tuple[str, ...]] = [
        ("queue", "waiting", "active", "delayed", "with children", "completed", "failed", "workers", "last hour")
    ]
    for each in found.queues:
        counts = (each.waiting, each.active, each.delayed, each.waiting_children, each.completed, each.failed)
        hour = sum(each.completed_per_minute[:60])
        rows.append((each.name, *map(str, counts), str(each.workers), f"{hour} done"))
    workers = [("worker", "queues", "jobs", "version", "since (UTC)")]
    for worker in found.workers:
        busy = f"{worker.active}/{worker.concurrency}{' draining' if worker.draining else ''}"
        name = f"{worker.name}/{worker.id}"
        workers.append((name, " ".join(worker.queues), busy, worker.version, _time(worker.started_at)))
    return "\n\n".join((columns(rows), columns(workers) if found.workers else "No worker is alive."))


def listed(answer: bytes) -> str:
    """Return jobs, one a line."""
    found = msgspec.json.decode(answer, type=JobList)
    if not found.jobs:
        return f"{found.queue}: no such jobs."
    rows: list[tuple[str, ...]] = [("id", "name", "state", "progress", "attempts", "enqueued (UTC)", "reason")]
    rows += [_row(job) for job in found.jobs]
    return f"{columns(rows)}\n{found.first + 1} to {found.first + len(found.jobs)} of {found.total}"


def line(answer: bytes) -> str:
    """Return one job in a sentence."""
    job = msgspec.json.decode(answer, type=JobView)
    return f"{job.queue}/{job.id} is {job.state}."


def detail(answer: bytes) -> str:
    """Return all about a job."""
    found = msgspec.json.decode(answer, type=JobDetail)
    job = found.job
    facts = {
        "job": f"{job.queue}/{job.id} ({job.name})",
        "state": job.state,
        "progress": json.dumps(job.progress, ensure_ascii=False),
        "attempts": f"{job.attempts_made} of {job.attempts}",
        "enqueued": _time(job.enqueued_at),
        "started": _time(job.started_at),
        "ended": _time(job.ended_at),
        "worker": job.worker,
        "parent": job.parent,
        "data": json.dumps(found.data, ensure_ascii=False),
        "result": "" if found.result is None else json.dumps(found.result, ensure_ascii=False),
        "reason": job.failed_reason,
    }
    lines = [f"{name:<10}{value}" for name, value in facts.items() if value]
    lines += [
        f"{'child' if not number else '':<10}{each.queue}/{each.id} {each.state} {each.failed_reason}".rstrip()
        for number, each in enumerate(found.children)
    ]
    return "\n".join((*lines, *(("", found.traceback.rstrip()) if found.traceback else ())))


def _row(job: JobView) -> tuple[str, ...]:
    progress = f"{job.progress}" if isinstance(job.progress, int | float) else json.dumps(job.progress)
    reason = job.failed_reason if len(job.failed_reason) <= 60 else job.failed_reason[:59] + "…"
    attempts = f"{job.attempts_made}/{job.attempts}"
    return (job.id, job.name, job.state, progress[:30], attempts, _time(job.enqueued_at), reason)


def _time(unix_s: float | None) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S") if unix_s else ""
