"""Cancelling and retrying jobs."""

import time
import uuid
from typing import Any, cast

import msgspec
from redis import asyncio as aioredis

from airnode.bus.jobs import keys
from airnode.bus.jobs.bull import Bull, TakenJob
from airnode.bus.jobs.hashes import options_of
from airnode.bus.jobs.reading import read_children, read_record
from airnode.bus.jobs.records import JobRecord, JobRef, JobState
from airnode.bus.jobs.scripts import AWAIT_CHILDREN, CANCEL

#: How long a job that is being cancelled is locked. If we die meanwhile, a worker finds the mark and fails it.
_LOCK_S = 5.0
_ENDED, _TAKEN = 0, 1


class JobCancellation(msgspec.Struct, frozen=True):
    """A job was cancelled; published on the channel of its queue, for the worker that has it.

    Workers also find the mark in the job's hash when they renew its lock.
    """

    queue: str
    id: str


async def cancel_waiting(client: aioredis.Redis, bull: Bull, ref: JobRef) -> bool:
    """Mark a job as cancelled, and end it unless a worker has it. Return whether a worker must be told."""
    token = f"cancel:{uuid.uuid4().hex}"
    places = ("wait", "paused", "prioritized", "delayed", "waiting-children", "active")
    script_keys = [keys.of_queue(ref.queue, part) for part in (ref.id, *places, f"{ref.id}:lock")]
    arguments = [ref.id, token, str(round(_LOCK_S * 1000)), str(round(time.time() * 1000))]
    answer = await cast(Any, client.eval(CANCEL, len(script_keys), *script_keys, *arguments))
    if answer == _TAKEN:
        fields = await cast(Any, client.hgetall(script_keys[0]))
        record = JobRecord(ref.id, ref.queue, "", {}, JobState.ACTIVE)
        await bull.fail(TakenJob(record, options_of(fields), token, "", fields), "cancelled", "")
        return False
    return bool(answer > _ENDED)


async def pending_descendants(client: aioredis.Redis, ref: JobRef) -> list[JobRef]:
    """Return the children of a job that have not ended, theirs, and so on."""
    found: list[JobRef] = []
    wanted = [ref]
    while wanted:
        pending, _ = await read_children(client, wanted.pop())
        found += pending
        wanted += pending
    return found


async def retry_ended(client: aioredis.Redis, bull: Bull, job: JobRecord) -> None:
    """Put an ended job back, with all its attempts; with it those of its children that failed, which it waits for."""
    _, ended = await read_children(client, job.ref)
    failed = [child.ref for child in ended if child.failed_reason]
    kept = [ref for ref in failed if await read_record(client, ref) is not None]
    pipeline = client.pipeline(transaction=True)
    for ref in (job.ref, *kept):
        pipeline.hdel(keys.of_queue(ref.queue, ref.id), "cancelled", "defa", "stc")
    if kept:
        places = ("completed", "failed", "waiting-children")
        script_keys = [keys.of_queue(job.queue, part) for part in (job.id, *places)]
        arguments = [job.id, str(round(time.time() * 1000))]
        pipeline.eval(AWAIT_CHILDREN, len(script_keys), *script_keys, *arguments)
        for ref in kept:
            await bull.reprocess(ref, "failed", pipeline)
    else:
        place = "completed" if job.state is JobState.COMPLETED else "failed"
        await bull.reprocess(job.ref, place, pipeline)
    await pipeline.execute()
