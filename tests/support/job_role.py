"""A role of another package that works durable jobs on the Redis of a master on another machine."""

import asyncio
from typing import Any

from airnode.bus.jobs.control import JobControl
from airnode.bus.jobs.keys import jobs_access
from airnode.bus.jobs.records import JobRecord
from airnode.bus.jobs.worker import JobWorker
from airnode.kernel.access import JoinToken, RemoteAccess
from airnode.runtime.context import RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import Role, RoleParts
from airnode.web.health import HealthCheck

QUEUE = "transcripts"

TOKEN = JoinToken("jobs_token", "jobs token", "Credential with which job workers on other machines join.")

ACCESS = RemoteAccess(name="jobs", token=TOKEN, redis=jobs_access(QUEUE))


async def count_letters(job: JobRecord, control: JobControl) -> dict[str, Any]:
    """Count the letters of a text. The first attempt fails."""
    if job.attempts_made == 0:
        raise RuntimeError("the first attempt fails")
    await control.progress(50)
    return {"letters": len(job.data["text"])}


async def take_long(job: JobRecord, control: JobControl) -> None:
    """Work until somebody stops it."""
    await control.progress(1)
    await asyncio.Event().wait()


def build(ctx: RoleContext) -> RoleParts:
    handlers = {"count": count_letters, "long": take_long}
    worker = JobWorker(ctx.jobs, [QUEUE], handlers, concurrency=2, tasks=ctx.tasks("job-worker"))

    async def check() -> str:
        return worker.check()

    return RoleParts(services=(worker,), checks=(HealthCheck("jobs", check, critical=False),))


ROLE = Role(
    name="job-worker",
    summary="counts letters",
    build=build,
    needs=frozenset({Resource.REDIS}),
    access=ACCESS,
)
