"""A role that another package brings joins a master and works durable jobs, with the rights that it declares."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from redis import asyncio as aioredis
from redis.exceptions import NoPermissionError, ResponseError

from airnode.bus import keys
from airnode.bus.jobs.control import JobControl
from airnode.bus.jobs.errors import PermanentError
from airnode.bus.jobs.records import JobOptions, JobRecord, JobSpec, JobState
from airnode.pipeline import keys as pipeline_keys
from airnode.runtime.registry import GROUP
from tests.support.job_role import QUEUE
from tests.support.jobs import echo, jobs_rig, spec
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

KEY, TOKEN, JOBS, PIPELINE = "5ea1ed" * 8, "c0ffee" * 8, "10b5ea" * 8, "0ddba11" * 6
REPOSITORY = Path(__file__).parents[2]


def installed(directory: Path) -> dict[str, str]:
    """Return the environment of a process in which the package of the role is installed."""
    info = directory / "jobs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jobs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\njob-worker = tests.support.job_role:ROLE\n")
    return {"PYTHONPATH": os.pathsep.join((str(directory), str(REPOSITORY), os.environ.get("PYTHONPATH", "")))}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return installed(tmp_path_factory.mktemp("packages"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def master(
    tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]
) -> AsyncIterator[AirnodeProcess]:
    """A master with a Redis of its own, on which the package is installed too."""
    tokens = {
        "AIRNODE_CLUSTER__TOKEN": TOKEN,
        "AIRNODE_CLUSTER__PIPELINE_TOKEN": PIPELINE,
        "AIRNODE_CLUSTER__JOBS_TOKEN": JOBS,
        "AIRNODE_JOBS__NO_WORKER_WARN_S": "1",
    }
    env = {"JWT_SECRET_KEY": KEY, **tokens}
    node = AirnodeProcess(tmp_path_factory.mktemp("master") / "data", role="master", env={**environment, **env})
    try:
        yield await node.start(60)
    finally:
        await node.close()


async def redis_url(master: AirnodeProcess) -> str:
    body = {"access": "jobs", "roles": ["job-worker"], "version": "1"}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {JOBS}"}) as session,
        session.post(master["api_url"] + "/cluster/join", json=body) as response,
    ):
        answer = await response.json()
        assert response.status == 200, answer
    assert (answer["postgres_url"], answer["jwt_secret"], answer["settings"]) == ("", "", {})
    assert urlsplit(answer["redis_url"]).username == "airnode-jobs"
    return str(answer["redis_url"])


async def test_a_joined_process_works_jobs_and_gives_them_back(
    master: AirnodeProcess, environment: dict[str, str], tmp_path: Path
):
    drain = {"AIRNODE_DRAIN__TIMEOUT_S": "0.5", "AIRNODE_DRAIN__DELAY_S": "0"}
    env = {**environment, **drain, "AIRNODE_CLUSTER__JOBS_TOKEN": JOBS, "MASTER_URL": master["api_url"]}
    worker = AirnodeProcess(tmp_path / "worker", role="job-worker", env=env)
    try:
        await worker.start(60)
        async with jobs_rig(await redis_url(master)) as rig:
            await rig.jobs.enqueue(JobSpec(QUEUE, "long", {}, "long"))
            await rig.jobs.enqueue(JobSpec(QUEUE, "count", {"text": "hello"}, "count", JobOptions(backoff_ms=50)))
            done = await rig.until("count", queue=QUEUE)
            assert (done.result, done.attempts_made, done.progress) == ({"letters": 5}, 2, 50)
            assert await worker.stop() == 0
            waits = await rig.jobs.get(QUEUE, "long")
            assert waits is not None
            assert (waits.state, waits.attempts_made) == (JobState.WAITING, 0)
            assert await rig.jobs.workers(QUEUE) == []
            await rig.jobs.cancel(QUEUE, "long")
    finally:
        await worker.close()


async def test_admins_see_retry_and_cancel_jobs(master: AirnodeProcess):
    """Over HTTP, and with ``airnode jobs``."""

    async def fail(job: JobRecord, control: JobControl) -> None:
        raise PermanentError("no sound")

    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with jobs_rig(master["redis_url"]) as rig, aiohttp.ClientSession(headers=headers) as session:

        async def answer(method: str, path: str, status: int = 200) -> dict[str, Any]:
            async with session.request(method, f"{master['api_url']}/api/jobs{path}") as response:
                found: dict[str, Any] = await response.json()
                assert response.status == status, found
                return found

        async def check() -> dict[str, Any]:
            async with session.get(master["health_url"] + "/health") as response:
                return dict((await response.json())["checks"]["jobs"])

        async def unwatched() -> str:
            found = await check()
            return "" if found["ok"] else str(found["detail"])

        await rig.jobs.enqueue_flow(spec("merge", "p", "shown"), [spec("fail", "c", "shown", {"text": "안녕"})])
        for method, path in (("GET", ""), ("GET", "/shown"), ("GET", "/shown/c"), ("DELETE", "/shown/c")):
            async with aiohttp.request(method, f"{master['api_url']}/api/jobs{path}") as response:
                assert response.status == 401
        detail = await eventually(unwatched, 15, "the queue has no worker")
        assert detail.startswith("The queue shown has 1 waiting jobs, and no worker for ")
        await rig.worker({"fail": fail, "merge": echo}, "shown", concurrency=3)
        await rig.until("p", queue="shown")

        async def well() -> bool:
            return bool((await check())["ok"])

        await eventually(well, 15, "the queue has a worker")
        queues = await answer("GET", "")
        (queue,) = [each for each in queues["queues"] if each["name"] == "shown"]
        assert (queue["completed"], queue["failed"], queue["workers"], sum(queue["completed_per_minute"])) == (
            1,
            1,
            1,
            1,
        )
        assert (["shown"], 3) in [(each["queues"], each["concurrency"]) for each in queues["workers"]]
        listed = await answer("GET", "/shown?state=failed&count=10")
        assert (listed["total"], [each["failed_reason"] for each in listed["jobs"]]) == (1, ["no sound"])
        shown = await answer("GET", "/shown/c")
        assert (shown["data"], shown["job"]["parent"]) == ({"text": "안녕"}, "shown/p")
        assert "PermanentError: no sound" in shown["traceback"]
        assert [each["id"] for each in (await answer("GET", "/shown/p"))["children"]] == ["c"]
        assert (await answer("POST", "/shown/c/retry"))["id"] == "c"
        await rig.until("c", JobState.FAILED, queue="shown")
        await rig.jobs.enqueue(spec("fail", "later", "shown", delay_ms=60_000))
        assert (await answer("DELETE", "/shown/later"))["state"] == "cancelled"
        for path, status in (("/none", 404), ("/shown/none", 404), ("/Bad", 400), ("/shown?count=0", 400)):
            await answer("GET", path, status)
        await answer("POST", "/shown/none/retry", 404)

        assert "shown" in (await airnode_jobs(master, "list"))[1]
        code, text = await airnode_jobs(master, "list", "shown", "--state", "failed", "--json")
        assert (code, [each["state"] for each in json.loads(text)["jobs"]]) == (0, ["cancelled", "failed"])
        code, text = await airnode_jobs(master, "show", "shown", "c")
        assert (code, "안녕" in text, "PermanentError: no sound" in text) == (0, True, True)
        assert await airnode_jobs(master, "cancel", "shown", "p") == (1, "shown/p is completed.\n")
        assert await airnode_jobs(master, "show", "shown", "no") == (2, "airnode: The queue shown has no job no.\n")


async def airnode_jobs(master: AirnodeProcess, *arguments: str) -> tuple[int, str]:
    """Return the exit code and the output of ``airnode jobs`` for the master's data directory."""
    command = (sys.executable, "-m", "airnode", "jobs", *arguments, "--data-dir", str(master.data_dir))
    env = {**os.environ, "AIRNODE_CLUSTER__TOKEN": TOKEN}
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT, env=env)
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.parametrize(("access", "token"), [("jobs", PIPELINE), ("jobs", TOKEN), ("pipeline", JOBS), ("node", JOBS)])
async def test_a_join_token_opens_only_the_accesses_that_declare_it(master: AirnodeProcess, access: str, token: str):
    body = {"access": access, "roles": ["job-worker"], "version": "1", "node_id": "worker-1"}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.post(master["api_url"] + "/cluster/join", json=body) as response,
    ):
        assert (response.status, (await response.json())["detail"].endswith("token is not right.")) == (403, True)


@pytest.mark.parametrize(
    ("token", "body", "status", "end"),
    [
        ("", {}, 401, "not right."),
        ("", {"access": "none"}, 401, "not right."),
        (JOBS, {"access": "none", "roles": [], "version": "1"}, 403, "token is not right."),
        (TOKEN, {"access": "none", "roles": [], "version": "1"}, 403, "older airnode than this role?"),
    ],
    ids=["nothing", "no token", "another token", "the cluster token"],
)
async def test_only_the_cluster_token_shows_which_accesses_exist(
    master: AirnodeProcess, token: str, body: dict[str, object], status: int, end: str
):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(master["api_url"] + "/cluster/join", json=body) as response,
    ):
        assert (response.status, (await response.json())["detail"].endswith(end)) == (status, True)


@pytest.mark.parametrize(
    "command",
    [
        ("HGETALL", keys.lease_values("nodes")),
        ("HGETALL", keys.records("stream-keys")),
        ("HSET", pipeline_keys.cache("users"), "1", "{}"),
        ("GET", "airnode:{jobs}:other:a"),
        ("GET", "bull:other"),
        ("EVAL", "return redis.call('HGETALL', 'airnode:lease:{nodes}:values')", "0"),
        ("PUBLISH", keys.channel("heartbeat"), "{}"),
        ("INFO",),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("CLIENT", "LIST"),
        ("SCRIPT", "FLUSH"),
    ],
    ids=" ".join,
)
async def test_its_user_reaches_nothing_of_the_cluster(master: AirnodeProcess, command: tuple[str, ...]):
    async with aioredis.from_url(await redis_url(master)) as client:
        assert await client.ping()
        with pytest.raises((NoPermissionError, ResponseError), match=r"(?i)no permission|ACL|NOPERM"):
            await client.execute_command(*command)
