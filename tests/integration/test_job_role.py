"""A role that another package brings joins a master and works a job of BullMQ, with the rights that it declares."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from bullmq import Job, Queue
from redis import asyncio as aioredis
from redis.exceptions import NoPermissionError, ResponseError

from airnode.bus import keys
from airnode.pipeline import keys as pipeline_keys
from airnode.runtime.registry import GROUP
from tests.support.job_role import PREFIX, QUEUE
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


async def test_a_joined_process_works_a_job(master: AirnodeProcess, environment: dict[str, str], tmp_path: Path):
    env = {**environment, "AIRNODE_CLUSTER__JOBS_TOKEN": JOBS, "MASTER_URL": master["api_url"]}
    worker = AirnodeProcess(tmp_path / "worker", role="job-worker", env=env)
    queue = Queue(QUEUE, {"connection": await redis_url(master), "prefix": PREFIX})
    try:
        await worker.start(60)
        options = {"attempts": 3, "backoff": {"type": "fixed", "delay": 50}}
        job = await queue.add("count", {"text": "hello"}, options)

        async def finished() -> bool:
            return bool(await job.isCompleted())

        await eventually(finished, 30, "the job is done")
        done = await Job.fromId(queue, job.id)
        assert done is not None
        assert (done.returnvalue, done.attemptsMade, done.progress) == ({"letters": 5}, 2, 50)
        assert await worker.stop() == 0
    finally:
        await queue.close()
        await worker.close()


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
        ("GET", "airnode:jobsandmore"),
        ("GET", "bull:other"),
        ("EVAL", "return redis.call('HGETALL', 'airnode:lease:{nodes}:values')", "0"),
        ("PUBLISH", keys.channel("heartbeat"), "{}"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("CLIENT", "LIST"),
        ("SCRIPT", "FLUSH"),
    ],
    ids=" ".join,
)
async def test_its_user_reaches_nothing_of_the_cluster(master: AirnodeProcess, command: tuple[str, ...]):
    async with aioredis.from_url(await redis_url(master)) as client:
        assert (await client.info("server"))["redis_version"]
        with pytest.raises((NoPermissionError, ResponseError), match=r"(?i)no permission|ACL|NOPERM"):
            await client.execute_command(*command)
