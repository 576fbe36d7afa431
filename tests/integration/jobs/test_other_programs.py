"""Our queues on other servers, with few rights, and in Node's hands."""

import asyncio
import json
import os
import shutil
from urllib.parse import parse_qs, urlsplit

import pytest
from redis import asyncio as aioredis
from redis.exceptions import NoPermissionError

from airnode.bus.jobs.errors import PermanentError
from airnode.bus.jobs.keys import PREFIX, jobs_access
from airnode.bus.jobs.records import JobState
from airnode.embedded.network import RemoteUser
from airnode.embedded.valkey import acl_line
from airnode.kernel.access import JoinToken, RemoteAccess
from tests.support.jobs import QUEUE, ROOT, echo, jobs_rig, said, spec, worker_process
from tests.support.waiting import eventually


async def fail_second(job, control):
    if job.data.get("n") == 1:
        raise PermanentError("broken")
    await control.progress(50)
    return job.data


async def merge(job, control):
    return [each.failed_reason or each.result for each in await control.children_results()]


HANDLERS = {"echo": echo, "piece": fail_second, "merge": merge}


async def exercise(rig) -> None:
    """Use everything once: a flow, a cancellation, a retry, events, a lost worker's job."""
    await rig.worker(HANDLERS, QUEUE, "pieces")
    async with rig.jobs.events(QUEUE) as events:
        children = [spec("piece", f"c{n}", "pieces", {"n": n}) for n in range(3)]
        await rig.jobs.enqueue_flow(spec("merge", "parent"), children)
        assert (await rig.until("parent")).result == [{"n": 0}, "broken", {"n": 2}]
        async for event in events:
            if event.kind == "completed":
                break
    await rig.jobs.retry(QUEUE, "parent")
    await rig.until("parent", JobState.COMPLETED)
    await rig.jobs.enqueue(spec(job_id="later", delay_ms=60_000))
    assert (await rig.jobs.cancel(QUEUE, "later")).state is JobState.CANCELLED
    assert {each.name: each.workers > 0 for each in await rig.jobs.queues()} == {QUEUE: True, "pieces": True}


async def test_the_rights_of_a_worker_on_another_machine_are_enough_and_few(valkey_url):
    token = JoinToken("jobs_token", "jobs token", "")
    access = RemoteAccess("jobstest", token, redis=jobs_access(QUEUE, "pieces"))
    line = acl_line(RemoteUser(access, "secret"), access.redis)
    database = parse_qs(urlsplit(valkey_url).query)["db"][0]
    url = valkey_url.replace("unix://", "unix://airnode-jobstest:secret@")
    async with aioredis.from_url(valkey_url) as owner:
        await owner.execute_command("ACL", "SETUSER", *line.split()[1:])
        try:
            async with jobs_rig(url) as rig:
                async with worker_process(url) as process:
                    await rig.jobs.enqueue(spec("wait", "stalls"))
                    await said(process, "begun stalls")
                    process.kill()
                await rig.worker({"wait": echo})
                await rig.until("stalls", JobState.COMPLETED)
                await rig._workers[0].stop()
                await exercise(rig)
                for command in (
                    ("HGETALL", f"{PREFIX}:other:a"),
                    ("LRANGE", f"{PREFIX}:other:wait", "0", "-1"),
                    ("GET", "airnode:lease:{nodes}:values"),
                    ("PUBLISH", "airnode:ch:jobs.other", "{}"),
                    ("EVAL", f"return redis.call('HSET', '{PREFIX}:other:a', 'x', '1')", "0"),
                    ("CLIENT", "LIST"),
                    ("SCRIPT", "FLUSH"),
                    ("KEYS", "*"),
                    ("CONFIG", "GET", "*"),
                ):
                    with pytest.raises(Exception, match=r"(?i)no permission|ACL|NOPERM") as refused:
                        await rig.jobs.client.execute_command(*command)
                    assert isinstance(refused.value, NoPermissionError) or command[0] == "EVAL"
        finally:
            await owner.execute_command("ACL", "DELUSER", "airnode-jobstest")
    assert database != "0"


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server on PATH")
async def test_everything_works_on_redis_too(tmp_path):
    socket = tmp_path / "redis.sock"
    options = ("--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path), "--save", "")
    server = await asyncio.create_subprocess_exec("redis-server", *options, stdout=asyncio.subprocess.DEVNULL)
    try:
        await eventually(socket.exists, 15, "Redis listens")
        async with jobs_rig(f"unix://{socket}") as rig:
            await exercise(rig)
    finally:
        server.terminate()
        await server.wait()


@pytest.mark.official_client
async def test_node_reads_our_queues_works_our_jobs_and_enqueues_some(valkey_url):
    parts = urlsplit(valkey_url)
    script = str(ROOT / "tests/support/job_queue.cjs")
    node = shutil.which("node", path=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}")
    assert node is not None
    command = (node, script, parts.path, parse_qs(parts.query)["db"][0], PREFIX, QUEUE)
    async with jobs_rig(valkey_url) as rig:
        await exercise(rig)
        await rig.jobs.enqueue(spec("any", "ours", "node", {"x": 1}))
        env = {**os.environ, "NODE_PATH": str(ROOT / "airnode/ui/node_modules")}
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=env)
        assert process.stdout is not None
        found = json.loads(await process.stdout.read())
        assert await process.wait() == 0
        jobs = {each["id"]: each for each in found["jobs"]}
        assert (jobs["parent"]["returnvalue"], jobs["parent"]["attemptsMade"]) == ([{"n": 0}, "broken", {"n": 2}], 1)
        assert jobs["later"]["failedReason"] == "cancelled"
        assert (found["children"], found["answer"]) == (["c0", "c1", "c2"], {"from": "node"})
        assert found["worked"] == {"id": "ours", "value": {"node": {"x": 1}}}
        assert found["counts"]["failed"] == 1
        assert found["perMinute"] == 3
        theirs = await rig.jobs.get("node", "ours")
        assert (theirs.state, theirs.result) == (JobState.COMPLETED, {"node": {"x": 1}})
