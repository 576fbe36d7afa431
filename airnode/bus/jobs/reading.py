"""Reading jobs and queues, as they stand in Redis."""

import time
from collections.abc import Collection, Sequence
from typing import Any, cast

from redis import asyncio as aioredis

from airnode.bus.jobs import keys
from airnode.bus.jobs.hashes import LISTS, METRICS_MINUTES, NEWEST_FIRST, PLACES, children_of, per_minute, to_record
from airnode.bus.jobs.records import ChildResult, JobRecord, JobRef, JobState, QueueState

_ENDS = (JobState.COMPLETED, JobState.FAILED)
#: Events that a queue keeps for slow listeners. Those of completed jobs contain the results; BullMQ would keep 10,000.
_EVENTS_MAX = 1000
#: Most records in one answer.
PAGE_MAX = 500


async def read_record(client: aioredis.Redis, ref: JobRef) -> JobRecord | None:
    """Return the record of a job; None if there is none."""
    return (await read_records(client, [ref]))[0]


async def read_records(client: aioredis.Redis, refs: Sequence[JobRef]) -> list[JobRecord | None]:
    """Return the records of jobs, all of one moment; None for those that do not exist."""
    if not refs:
        return []
    pipeline = client.pipeline(transaction=True)
    for ref in refs:
        pipeline.hgetall(keys.of_queue(ref.queue, ref.id))
        for place in PLACES:
            key = keys.of_queue(ref.queue, place)
            if place in LISTS:
                pipeline.lpos(key, ref.id)
            else:
                pipeline.zscore(key, ref.id)
    answers = await pipeline.execute()
    step = len(PLACES) + 1
    found: list[JobRecord | None] = []
    for number, ref in enumerate(refs):
        fields, *positions = answers[number * step : (number + 1) * step]
        places = [place for place, position in zip(PLACES, positions, strict=True) if position is not None]
        # A job is in one place; one that is in none is being removed.
        found.append(to_record(ref, fields, places[0]) if fields and places else None)
    return found


async def read_page(
    client: aioredis.Redis, queue: str, states: Collection[JobState], first: int, last: int
) -> list[JobRecord]:
    """Return the jobs number ``first`` to ``last`` of those in these states.

    They are listed as in :data:`airnode.bus.jobs.hashes.PLACES`: the next to be taken first, ended ones newest first.
    Failed and cancelled jobs are kept together, so asking for one of both gives both.
    """
    wanted = {JobState.FAILED if state is JobState.CANCELLED else state for state in states}
    places = [place for place, state in PLACES.items() if state in wanted]
    pipeline = client.pipeline(transaction=True)
    for place in places:
        key = keys.of_queue(queue, place)
        _ = pipeline.llen(key) if place in LISTS else pipeline.zcard(key)
    counts = await pipeline.execute()
    ids: list[str] = []
    for place, count in zip(places, counts, strict=True):
        start, stop = max(first, 0), min(last, count - 1)
        if start <= stop:
            ids += await _ids(client, queue, place, start, stop)
        first, last = first - count, last - count
    records = await read_records(client, [JobRef(queue, each) for each in ids])
    return [record for record in records if record is not None]


async def _ids(client: aioredis.Redis, queue: str, place: str, start: int, stop: int) -> list[str]:
    key = keys.of_queue(queue, place)
    if place in LISTS:
        found = await cast(Any, client.lrange(key, -stop - 1, -start - 1))
        return [str(each) for each in reversed(found)]
    return [str(each) for each in await client.zrange(key, start, stop, desc=place in NEWEST_FIRST)]


async def read_children(client: aioredis.Redis, ref: JobRef) -> tuple[list[JobRef], list[ChildResult]]:
    """Return the children of a job that have not ended, and how the others ended."""
    key = keys.of_queue(ref.queue, ref.id)
    pipeline = client.pipeline(transaction=True)
    pipeline.smembers(f"{key}:dependencies")
    pipeline.hgetall(f"{key}:processed")
    pipeline.hgetall(f"{key}:failed")
    pending, processed, failed = await pipeline.execute()
    refs = sorted(map(keys.job_ref, pending), key=lambda each: (each.queue, each.id))
    return refs, children_of(processed, failed)


async def read_queues(client: aioredis.Redis, workers: dict[str, int]) -> list[QueueState]:
    """Return all queues by name, those too that have workers and never had a job.

    Args:
        workers: {queue: live workers}.
    """
    names = sorted({*map(str, await cast(Any, client.smembers(keys.QUEUES))), *workers})
    pipeline = client.pipeline(transaction=False)
    for name in names:
        for place in PLACES:
            key = keys.of_queue(name, place)
            _ = pipeline.llen(key) if place in LISTS else pipeline.zcard(key)
        for state in _ENDS:
            pipeline.hgetall(keys.of_queue(name, f"metrics:{state}"))
            pipeline.lrange(keys.of_queue(name, f"metrics:{state}:data"), 0, METRICS_MINUTES - 1)
    answers = await pipeline.execute()
    step = len(PLACES) + 2 * len(_ENDS)
    now_ms = round(time.time() * 1000)
    found = []
    for number, name in enumerate(names):
        mine = answers[number * step : (number + 1) * step]
        counts = dict.fromkeys(PLACES.values(), 0)
        for state, count in zip(PLACES.values(), mine, strict=False):
            counts[state] += count
        totals = iter(mine[len(PLACES) :])
        ended = {state: per_minute(next(totals), next(totals), now_ms) for state in _ENDS}
        found.append(QueueState(name, counts, workers.get(name, 0), ended))
    return found


async def count_waiting(client: aioredis.Redis, queue: str) -> int:
    """Return the number of jobs that wait for a worker or for their time; makes the queue known."""
    pipeline = client.pipeline(transaction=False)
    pipeline.sadd(keys.QUEUES, queue)
    pipeline.hsetnx(keys.of_queue(queue, "meta"), "opts.maxLenEvents", _EVENTS_MAX)
    pipeline.llen(keys.of_queue(queue, "wait"))
    for place in ("prioritized", "delayed"):
        pipeline.zcard(keys.of_queue(queue, place))
    _, _, *counts = await pipeline.execute()
    return sum(counts)
