"""Job queues over HTTP, for admins: what waits, runs and failed; retrying and cancelling."""

import msgspec
from aiohttp import web

from airnode.bus.jobs.errors import JobNotFound
from airnode.bus.jobs.jobs import Jobs
from airnode.bus.jobs.records import JobState
from airnode.errors import NotFound
from airnode.web.credentials import Authorizer, Right
from airnode.web.inputs import json_response, read_input
from airnode.web.job_types import (
    JobDetail,
    JobFilter,
    JobList,
    JobQueues,
    JobView,
    job_view,
    queue_view,
    worker_view,
)
from airnode.web.openapi import operation

_RESULT_SHOWN_BYTES = 64 << 10
_QUEUE = ("queue", "Name of a queue.")
_JOB = ("job_id", "Id of a job in this queue.")
_NEEDS = "Needs `auth.admin_secret` or the cluster token."
_ERRORS = (400, 401, 403, 404, 429, 503)


class JobsApi:
    """The handlers."""

    def __init__(self, jobs: Jobs, authorizer: Authorizer) -> None:
        self._jobs = jobs
        self._authorizer = authorizer

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/jobs", self.queues)
        app.router.add_get("/api/jobs/{queue}", self.list)
        app.router.add_get("/api/jobs/{queue}/{job_id}", self.show)
        app.router.add_post("/api/jobs/{queue}/{job_id}/retry", self.retry)
        app.router.add_delete("/api/jobs/{queue}/{job_id}", self.cancel)

    @operation(
        summary="All job queues and their workers",
        tag="jobs",
        description=f"A queue exists once a job was enqueued into it. {_NEEDS}",
        returns=JobQueues,
        errors=(401, 403, 429, 503),
        auth="admin",
    )
    async def queues(self, request: web.Request) -> web.Response:
        self._authorizer.require(request, Right.ADMIN)
        queues, workers = await self._jobs.queues(), await self._jobs.workers()
        return json_response(JobQueues(list(map(queue_view, queues)), list(map(worker_view, workers))))

    @operation(
        summary="The jobs of a queue",
        tag="jobs",
        description=f"Active, waiting, delayed, failed and completed ones, in this order. {_NEEDS}",
        path_params=(_QUEUE,),
        query=JobFilter,
        returns=JobList,
        errors=_ERRORS,
        auth="admin",
    )
    async def list(self, request: web.Request) -> web.Response:
        self._authorizer.require(request, Right.ADMIN)
        wanted = await read_input(request, JobFilter)
        name = request.match_info["queue"]
        states = [JobState(wanted.state)] if wanted.state else list(JobState)
        jobs = await self._jobs.jobs(name, states, wanted.first, wanted.first + wanted.count - 1)
        queue = next((each for each in await self._jobs.queues() if each.name == name), None)
        if queue is None:
            raise NotFound(f"There is no queue {name}.")
        counted = {JobState.FAILED if each is JobState.CANCELLED else each for each in states}
        total = sum(queue.counts.get(each, 0) for each in counted)
        return json_response(JobList(name, wanted.first, total, list(map(job_view, jobs))))

    @operation(
        summary="One job",
        tag="jobs",
        description=f"With its data, its result, the traceback of a failure, and its children. {_NEEDS}",
        path_params=(_QUEUE, _JOB),
        returns=JobDetail,
        errors=_ERRORS,
        auth="admin",
    )
    async def show(self, request: web.Request) -> web.Response:
        self._authorizer.require(request, Right.ADMIN)
        queue, job_id = _names(request)
        job = await self._jobs.get(queue, job_id)
        if job is None:
            raise JobNotFound(f"The queue {queue} has no job {job_id}.")
        children = await self._jobs.children(queue, job_id)
        size = len(msgspec.json.encode(job.result)) if job.result is not None else 0
        result = job.result if size <= _RESULT_SHOWN_BYTES else None
        views = list(map(job_view, children))
        return json_response(JobDetail(job_view(job), job.data, result, size, job.traceback, views))

    @operation(
        summary="Work a job that has ended again",
        tag="jobs",
        description=f"It gets all its attempts. Children of it that failed are worked again too. {_NEEDS}",
        path_params=(_QUEUE, _JOB),
        returns=JobView,
        errors=(*_ERRORS, 409),
        auth="admin",
    )
    async def retry(self, request: web.Request) -> web.Response:
        self._authorizer.require(request, Right.ADMIN)
        return json_response(job_view(await self._jobs.retry(*_names(request))))

    @operation(
        summary="Cancel a job and its children",
        tag="jobs",
        description=f"A waiting job ends at once, an active one soon after, an ended one stays as it is. {_NEEDS}",
        path_params=(_QUEUE, _JOB),
        returns=JobView,
        errors=_ERRORS,
        auth="admin",
    )
    async def cancel(self, request: web.Request) -> web.Response:
        self._authorizer.require(request, Right.ADMIN)
        return json_response(job_view(await self._jobs.cancel(*_names(request))))


def _names(request: web.Request) -> tuple[str, str]:
    return request.match_info["queue"], request.match_info["job_id"]
