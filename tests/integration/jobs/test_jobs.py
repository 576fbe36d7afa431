"""Enqueuing, working, retrying and cancelling jobs on a real Valkey."""

import asyncio

import pytest

from airnode.bus.jobs.errors import JobNotFound, PermanentError, QueueFull
from airnode.bus.jobs.records import JobEventKind, JobState
from airnode.errors import Conflict, InvalidInput, TooLarge
from tests.support.jobs import QUEUE, Gate, echo, jobs_rig, spec
from tests.support.waiting import eventually


@pytest.fixture
async def rig(valkey_url):
    async with jobs_rig(valkey_url) as rig:
        yield rig


async def test_a_job_is_worked_once_and_its_record_tells_how(rig):
    worker = await rig.worker({"echo": echo})
    async with rig.jobs.events(QUEUE) as events:
        queued = await rig.jobs.enqueue(spec(job_id="a", data={"x": "한글"}))
        assert (queued.id, queued.name, queued.data) == ("a", "echo", {"x": "한글"})
        done = await rig.until("a")
        kinds = []
        async for event in events:
            kinds.append(event.kind)
            if event.kind is JobEventKind.COMPLETED:
                break
    assert (event.id, event.result) == ("a", {"x": "한글"})
    assert kinds == [JobEventKind.WAITING, JobEventKind.ACTIVE, JobEventKind.COMPLETED]
    assert (done.state, done.result, done.attempts_made) == (JobState.COMPLETED, {"x": "한글"}, 1)
    assert 0 < done.enqueued_at_ms <= done.started_at_ms <= done.ended_at_ms
    assert done.worker.endswith(worker._state.id)
    # the same id again adds nothing
    assert (await rig.jobs.enqueue(spec(job_id="a", data={"x": 2}))).result == {"x": "한글"}
    assert rig.attempts("completed") == 1


async def test_a_failing_job_is_tried_again_and_keeps_its_traceback(rig):
    async def fail(job, control):
        await control.progress({"at": job.attempts_made})
        raise ValueError("no luck")

    async def never(job, control):
        raise PermanentError("There is no sound in it.")

    await rig.worker({"fail": fail, "never": never})
    await rig.jobs.enqueue(spec("fail", "a"))
    await rig.jobs.enqueue(spec("never", "b"))
    await rig.jobs.enqueue(spec("unknown", "c", attempts=1))
    a, b, c = await rig.ended(["a", "b", "c"])
    assert (a.state, a.attempts_made, a.failed_reason, a.progress) == (
        JobState.FAILED,
        3,
        "ValueError: no luck",
        {"at": 2},
    )
    assert "in fail" in a.traceback
    assert (b.attempts_made, b.failed_reason) == (1, "There is no sound in it.")
    assert c.failed_reason.endswith("This worker has no handler for jobs named 'unknown'.")
    assert (rig.attempts("retried"), rig.attempts("failed")) == (2, 3)
    assert rig.failures == []


async def test_priorities_delays_and_pages(rig):
    order = []

    async def note(job, control):
        order.append(job.id)

    for job_id, options in {
        "late": {"delay_ms": 300},
        "low": {"priority": 9},
        "high": {"priority": 1},
        "first": {},
    }.items():
        await rig.jobs.enqueue(spec("note", job_id, **options))
    listed = await rig.jobs.jobs(QUEUE, [JobState.WAITING, JobState.DELAYED])
    assert [(each.id, each.state) for each in listed] == [
        ("first", JobState.WAITING),
        ("high", JobState.WAITING),
        ("low", JobState.WAITING),
        ("late", JobState.DELAYED),
    ]
    assert [each.id for each in await rig.jobs.jobs(QUEUE, first=1, last=2)] == ["high", "low"]
    await rig.worker({"note": note}, concurrency=1)
    await rig.ended(["late"])
    assert order == ["first", "high", "low", "late"]
    assert [each.id for each in await rig.jobs.jobs(QUEUE, [JobState.COMPLETED], last=1)] == ["late", "low"]
    with pytest.raises(InvalidInput):
        await rig.jobs.jobs(QUEUE, last=500)


async def test_a_parent_runs_once_when_all_children_have_ended_also_failed_ones(rig):
    results = []

    async def child(job, control):
        if job.data["n"] == 1:
            raise PermanentError("broken piece")
        return job.data["n"] * 10

    async def merge(job, control):
        children = await control.children_results()
        results.append([(each.ref.id, each.result, each.failed_reason) for each in children])
        return "merged"

    children = [spec("child", f"c{n}", "pieces", {"n": n}, priority=n + 1) for n in range(4)]
    flow = await rig.jobs.enqueue_flow(spec("merge", "p"), children)
    assert flow.state is JobState.WAITING_CHILDREN
    assert [each.parent for each in await rig.jobs.children(QUEUE, "p")] == [flow.ref] * 4
    await rig.worker({"child": child, "merge": merge}, "pieces", QUEUE)
    assert (await rig.until("p")).result == "merged"
    assert results == [[("c0", 0, ""), ("c1", None, "broken piece"), ("c2", 20, ""), ("c3", 30, "")]]
    states = [each.state for each in await rig.jobs.children(QUEUE, "p")]
    assert states == [JobState.COMPLETED, JobState.FAILED, JobState.COMPLETED, JobState.COMPLETED]


async def test_a_retried_parent_waits_for_its_failed_children_only(rig):
    broken, ran = {"c1"}, []

    async def child(job, control):
        ran.append(job.id)
        if job.id in broken:
            raise PermanentError("broken")
        return job.id

    async def merge(job, control):
        return [each.result for each in await control.children_results()]

    await rig.worker({"child": child, "merge": merge})
    await rig.jobs.enqueue_flow(spec("merge", "p"), [spec("child", f"c{n}") for n in range(3)])
    assert (await rig.until("p")).result == ["c0", None, "c2"] or ran
    broken.clear()
    ran.clear()
    assert (await rig.jobs.retry(QUEUE, "p")).state is not JobState.FAILED
    done = await rig.until("p", JobState.COMPLETED)
    assert (done.result, ran) == (["c0", "c1", "c2"], ["c1"])


async def test_a_failed_job_is_retried_with_all_its_attempts(rig):
    works = asyncio.Event()

    async def maybe(job, control):
        if not works.is_set():
            raise ValueError("not yet")
        return "yes"

    await rig.worker({"maybe": maybe})
    await rig.jobs.enqueue(spec("maybe", "a", attempts=2))
    await rig.until("a", JobState.FAILED)
    works.set()
    await rig.jobs.retry(QUEUE, "a")
    done = await rig.until("a", JobState.COMPLETED)
    assert (done.result, done.attempts_made, done.failed_reason) == ("yes", 1, "")
    with pytest.raises(JobNotFound):
        await rig.jobs.retry(QUEUE, "b")
    await rig.jobs.enqueue(spec("maybe", "later", delay_ms=60_000))
    with pytest.raises(Conflict):
        await rig.jobs.retry(QUEUE, "later")


async def test_cancelling_what_waits_what_runs_and_a_whole_flow(rig):
    gate, told = Gate(), []

    async def polite(job, control):
        await control.cancelled.wait()
        told.append(job.id)
        control.raise_if_cancelled()

    for job_id, options in {"waits": {}, "low": {"priority": 3}, "later": {"delay_ms": 60_000}}.items():
        await rig.jobs.enqueue(spec("gate", job_id, "idle", **options))
        assert (await rig.jobs.cancel("idle", job_id)).state is JobState.CANCELLED
    await rig.worker({"gate": gate, "polite": polite}, concurrency=3)
    await rig.jobs.enqueue(spec("polite", "polite"))
    await rig.jobs.enqueue(spec("gate", "stubborn"))
    flow = [spec("gate", "runs"), spec("gate", "queued")]
    await rig.jobs.enqueue_flow(spec("gate", "parent"), flow)
    await gate.until_begun(2)
    for job_id in ("parent", "polite", "stubborn"):
        await rig.jobs.cancel(QUEUE, job_id)
    ids = ["polite", "stubborn", "parent", "runs", "queued"]
    assert {each.state for each in await rig.ended(ids)} == {JobState.CANCELLED}
    assert (told, gate.begun, gate.ended) == (["polite"], ["stubborn", "runs"], [])
    # nothing happens to what has ended, and a cancelled job can be retried
    assert (await rig.jobs.cancel(QUEUE, "polite")).state is JobState.CANCELLED
    gate.open.set()
    await rig.jobs.retry(QUEUE, "stubborn")
    assert (await rig.until("stubborn", JobState.COMPLETED)).result == {"by": "gate"}
    with pytest.raises(JobNotFound):
        await rig.jobs.cancel(QUEUE, "nothing")


async def test_a_cancellation_that_pubsub_lost_is_found_in_the_record(rig):
    gate = Gate()
    await rig.worker({"gate": gate})
    await rig.jobs.enqueue(spec("gate", "a"))
    await gate.until_begun()
    await rig.jobs.client.hset("airnode:{jobs}:q:a", "cancelled", "1")
    assert (await rig.until("a")).state is JobState.CANCELLED


async def test_two_hundred_jobs_on_two_racing_workers_with_cancels_in_between(rig, valkey_url):
    runs: list[str] = []

    async def quick(job, control):
        runs.append(job.id)
        await asyncio.sleep(0.001)
        return job.data["n"]

    async with jobs_rig(valkey_url) as other:
        await rig.worker({"quick": quick}, concurrency=4)
        await other.worker({"quick": quick}, concurrency=4)
        for n in range(200):
            await rig.jobs.enqueue(spec("quick", f"j{n}", data={"n": n}, priority=n % 3))
            if n % 4 == 3:
                await other.jobs.cancel(QUEUE, f"j{n - 1}")
        records = await rig.ended([f"j{n}" for n in range(200)])
        assert sorted(runs) == sorted(set(runs))
        for n, record in enumerate(records):
            assert record.state is JobState.COMPLETED or n % 4 == 2, record
            assert record.result == (n if record.state is JobState.COMPLETED else None)
        completed = sum(each.state is JobState.COMPLETED for each in records)
        assert rig.attempts("completed") + other.attempts("completed") == completed
        (queue,) = await rig.jobs.queues()
        assert queue.counts == {
            **dict.fromkeys(queue.counts, 0),
            JobState.COMPLETED: completed,
            JobState.FAILED: 200 - completed,
        }
        assert sum(queue.ended_per_minute[JobState.COMPLETED]) == completed
        assert (queue.workers, len(await rig.jobs.workers(QUEUE)), await rig.jobs.workers("other")) == (2, 2, [])


async def test_limits_are_errors_that_name_their_key(valkey_url):
    async def big(job, control):
        return "x" * 5000

    async def odd(job, control):
        return {"x": float("nan")}

    async with jobs_rig(valkey_url, max_waiting=2, data_max_bytes=1024, result_max_bytes=1024) as rig:
        with pytest.raises(TooLarge, match=r"jobs\.data_max_bytes"):
            await rig.jobs.enqueue(spec(data={"x": "y" * 2000}))
        for wrong in (spec(data={"x": object()}), spec("bad:name"), spec(job_id="a:b"), spec(attempts=0)):
            with pytest.raises(InvalidInput):
                await rig.jobs.enqueue(wrong)
        with pytest.raises(InvalidInput, match="same id"):
            await rig.jobs.enqueue_flow(spec(job_id="p"), [spec(job_id="p")])
        await rig.jobs.enqueue(spec("big", "a"))
        await rig.jobs.enqueue(spec("odd", "b"))
        with pytest.raises(QueueFull, match=r"jobs\.max_waiting"):
            await rig.jobs.enqueue(spec("big", "c"))
        assert rig.count("airnode_jobs_refused_total", queue=QUEUE, reason="queue_full") == 1
        await rig.worker({"big": big, "odd": odd})
        a, b = await rig.ended(["a", "b"])
        assert "jobs.result_max_bytes" in a.failed_reason
        assert b.failed_reason.startswith("The result is not JSON")


async def test_only_so_many_records_are_kept(rig):
    await rig.worker({"echo": echo})
    for n in range(6):
        await rig.jobs.enqueue(spec(job_id=f"j{n}", keep_completed=2))
        await eventually(lambda n=n: rig.attempts("completed") == n + 1, 15, n)
    assert [each.id for each in await rig.jobs.jobs(QUEUE)] == ["j5", "j4"]
    assert await rig.jobs.get(QUEUE, "j0") is None


async def test_a_result_is_written_although_the_lock_has_expired_unless_another_worker_began(valkey_url):
    gate = Gate()
    async with jobs_rig(valkey_url, stalled_check_s=600) as rig:
        await rig.worker({"gate": gate})
        for job_id in ("expired", "taken"):
            await rig.jobs.enqueue(spec("gate", job_id))
        await gate.until_begun(2)
        rig._workers[0]._locks._held.clear()  # nobody renews the locks
        await rig.jobs.client.delete("airnode:{jobs}:q:expired:lock", "airnode:{jobs}:q:taken:lock")
        await rig.jobs.client.hincrby("airnode:{jobs}:q:taken", "ats", 1)  # as a second worker would
        gate.open.set()
        await eventually(lambda: rig.attempts("completed") == 1 and rig.attempts("lost") == 1, 15, "both have ended")
        assert (await rig.until("expired")).attempts_made == 1
        assert (await rig.jobs.get(QUEUE, "taken")).state is JobState.ACTIVE
