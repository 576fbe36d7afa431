"""Jobs outlive their workers and their Redis."""

import asyncio
import time

import pytest

from airnode.bus.jobs.records import JobState
from tests.support.jobs import QUEUE, Gate, echo, jobs_rig, said, spec, worker_process
from tests.support.outage import frail
from tests.support.waiting import eventually

__all__ = ["frail"]

DEFAULTS = {"lock_s": 6, "stalled_check_s": 1.5}


async def test_the_job_of_a_killed_worker_runs_again_within_ten_seconds(valkey_url):
    gate = Gate()
    gate.open.set()
    async with jobs_rig(valkey_url, **DEFAULTS) as rig, worker_process(valkey_url, **DEFAULTS) as process:
        await rig.jobs.enqueue(spec("wait", "a", keep_completed=5))
        await said(process, "begun a")
        await rig.worker({"wait": gate})
        process.kill()
        killed_s = time.monotonic()
        done = await rig.until("a", JobState.COMPLETED)
        assert time.monotonic() - killed_s < 10
        # once, by the other worker; losing its worker costs the job no attempt
        assert (gate.begun, done.result, done.attempts_made) == (["a"], {"by": "gate"}, 1)
        assert rig.count("airnode_jobs_stalled_total", queue=QUEUE) == 1


async def test_a_job_that_kills_its_workers_fails(valkey_url):
    async with jobs_rig(valkey_url, stalled_max=1) as rig:
        await rig.jobs.enqueue(spec("wait", "a"))
        for _ in range(2):
            async with worker_process(valkey_url, stalled_max=1) as process:
                await said(process, "begun a")
                process.kill()
        await rig.worker({"wait": echo})
        done = await rig.until("a")
        assert done.state is JobState.FAILED
        assert "jobs.stalled_max" in done.failed_reason


async def test_an_event_loop_that_stands_still_keeps_its_lock(valkey_url):
    async with jobs_rig(valkey_url) as rig, worker_process(valkey_url) as process:
        await rig.jobs.enqueue(spec("block", "a", data={"for_s": 3.5}))  # the lock lives 2 s
        await said(process, "begun a")
        await rig.worker({"block": echo})
        done = await rig.until("a")
        assert (done.result, done.attempts_made) == ("blocked", 1)


async def test_an_event_loop_that_hangs_loses_its_jobs(valkey_url):
    async with jobs_rig(valkey_url) as rig, worker_process(valkey_url, hung_s=1) as process:
        await rig.jobs.enqueue(spec("block", "a", data={"for_s": 60}))
        await said(process, "begun a")
        await rig.worker({"block": echo})
        assert (await rig.until("a")).result == {"for_s": 60}


async def test_a_handler_that_ignores_everything_is_left_and_its_job_tried_again(valkey_url, monkeypatch):
    monkeypatch.setattr("airnode.bus.jobs.attempt._HUNG_S", 0.2)
    free = asyncio.Event()

    async def hang(job, control):
        if job.attempts_made:
            return "second"
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        return "first"

    async with jobs_rig(valkey_url, cancel_grace_s=0.1) as rig:
        await rig.worker({"hang": hang}, concurrency=1)
        await rig.jobs.enqueue(spec("hang", "a", timeout_s=0.2))
        done = await rig.until("a")
        assert (done.state, done.result, done.attempts_made) == (JobState.COMPLETED, "second", 2)
        assert rig.count("airnode_jobs_stopped_total", queue=QUEUE, reason="hung") == 1
        free.set()


async def test_a_stopping_worker_finishes_what_it_can_and_gives_the_rest_back(valkey_url):
    quick, slow = Gate(), Gate()
    async with jobs_rig(valkey_url) as rig:
        worker = await rig.worker({"quick": quick, "slow": slow})
        await rig.jobs.enqueue(spec("quick", "quick"))
        await rig.jobs.enqueue(spec("slow", "slow"))
        await quick.until_begun()
        await slow.until_begun()
        drain = asyncio.create_task(worker.drain())
        await eventually(lambda: worker._draining, 5)
        await rig.jobs.enqueue(spec("quick", "late"))
        quick.open.set()
        assert (await rig.until("quick")).state is JobState.COMPLETED
        assert (await rig.jobs.get(QUEUE, "late")).state is JobState.WAITING
        assert not drain.done()
        drain.cancel()  # as after drain.timeout_s
        await worker.stop()
        waiting = await rig.jobs.jobs(QUEUE, [JobState.WAITING])
        assert [(each.id, each.attempts_made) for each in waiting] == [("slow", 0), ("late", 0)]
        slow.open.set()
        await rig.worker({"quick": quick, "slow": slow})
        assert [each.attempts_made for each in await rig.ended(["slow", "late"])] == [1, 1]
        assert (quick.begun, slow.begun, slow.ended) == (["quick", "late"], ["slow", "slow"], ["slow"])


@pytest.mark.timeout(60)
async def test_jobs_and_workers_go_on_after_redis_was_away(frail):
    url = await asyncio.to_thread(frail.fresh_valkey)
    gate = Gate()
    async with jobs_rig(url) as rig:
        await rig.worker({"gate": gate, "echo": echo}, concurrency=3)
        await rig.jobs.enqueue(spec("gate", "ends-meanwhile"))
        await rig.jobs.enqueue(spec("gate", "ends-later"))
        await gate.until_begun(2)
        await rig.jobs.enqueue(spec("echo", "later", delay_ms=1500))
        async with rig.jobs.events(QUEUE) as events:
            await asyncio.sleep(1.2)  # the append-only file is synced each second
            frail.kill("valkey")
            await eventually(lambda: rig._workers[0]._locks.behind, 15, "the worker knows")
            gate.open.set()
            await asyncio.sleep(2.5)  # longer than the locks live
            frail.bring_back("valkey")
            done = await rig.ended(["ends-meanwhile", "ends-later", "later"])
            assert [each.attempts_made for each in done] == [1, 1, 1]
            assert sorted(gate.begun) == ["ends-later", "ends-meanwhile"]
            assert (await rig.jobs.enqueue(spec(job_id="new", data={"x": 1}))).id == "new"
            assert (await rig.until("new")).result == {"x": 1}
            kinds = []
            async for event in events:  # nothing is missing, and the gap says that something may be
                kinds.append(str(event.kind))
                if event.id == "new" and event.kind == "completed":
                    break
            assert "gap" in kinds
