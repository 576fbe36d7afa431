"""A role of another package that processes BullMQ jobs on the Redis of a master on another machine."""

from typing import Any

from bullmq import Job, Worker

from airnode.kernel.access import JoinToken, RedisAccess, RemoteAccess
from airnode.kernel.service import Service
from airnode.runtime.context import RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import Role, RoleParts

QUEUE, PREFIX = "transcripts", "airnode:jobs"

TOKEN = JoinToken("jobs_token", "jobs token", "Credential with which job workers on other machines join.")

#: BullMQ keeps waiting jobs in lists, and asks for the server's version with INFO.
ACCESS = RemoteAccess(
    name="jobs",
    token=TOKEN,
    redis=RedisAccess(keys=(f"{PREFIX}:*",), categories=("list",), commands=("info",)),
)


class JobWorker(Service):
    """Counts the letters of a text. Each job fails at its first attempt."""

    name = "job-worker"

    def __init__(self, redis_url: str) -> None:
        super().__init__()
        self._redis_url = redis_url
        self._worker: Worker | None = None

    async def start(self) -> None:
        self._worker = Worker(QUEUE, self._work, {"connection": self._redis_url, "prefix": PREFIX})

    async def stop(self) -> None:
        if self._worker is not None:
            await self._worker.close(force=True)

    async def _work(self, job: Job, token: str) -> dict[str, Any]:
        if job.attemptsMade == 0:
            raise RuntimeError("the first attempt fails")
        await job.updateProgress(50)
        return {"letters": len(job.data["text"])}


def build(ctx: RoleContext) -> RoleParts:
    return RoleParts(services=(JobWorker(ctx.settings.redis.url),))


ROLE = Role(
    name="job-worker",
    summary="counts letters",
    build=build,
    needs=frozenset({Resource.REDIS}),
    access=ACCESS,
)
