"""One airnode for many tests: each takes a class and an address of its own, so that none disturbs another."""

import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from airnode.config.sections.embedded import EmbeddedSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.postgres import EmbeddedPostgres
from airnode.embedded.valkey import EmbeddedValkey
from tests.support.contract import Contract
from tests.support.embedded import Pair
from tests.support.node import AirnodeProcess, Api
from tests.support.problems import check_problem

_ADDRESSES = itertools.count(1)
_CLASSES = itertools.count(1)
SECRET = "0123456789abcdef" * 3
TEACHER = "a.teacher.secret"
#: A request for a token; a class code is added where one is needed.
STUDENT = {"user_type": "student", "user_id": "a"}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def school(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AirnodeProcess]:
    """A standalone node that logs everything and believes the X-Forwarded-* headers of loopback."""
    node = AirnodeProcess(
        tmp_path_factory.mktemp("school") / "data",
        "--log-level",
        "debug",
        "--log-format",
        "json",
        "--set",
        'http.trusted_proxies=["127.0.0.1/32"]',
        "--set",
        "hls.grace_s=2",
        "--set",
        "rtmp.publish_timeout_s=3",
        "--set",
        "rtmp.handshake_timeout_s=2",
        "--set",
        "http.request_timeout_s=1",
        "--set",
        "auth.failure_burst=5",
        "--set",
        "auth.failure_rate_per_s=0.2",
        "--set",
        "cluster.max_connections=2000",
    )
    try:
        yield await node.start()
    finally:
        await node.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def open_node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AirnodeProcess]:
    """Anyone may join; one place; two origins may read; the address it is reached by is configured."""
    node = AirnodeProcess(
        tmp_path_factory.mktemp("open") / "data",
        "--set",
        "auth.student_join=open",
        "--set",
        "cluster.max_connections=1",
        "--set",
        "cluster.heartbeat_s=0.2",
        "--set",
        "auth.token_burst=50",
        "--set",
        "auth.token_rate_per_s=5",
        "--set",
        "node.host=school.example",
        env={"ALLOWED_ORIGINS": "https://a.example,https://b.example", "AIRNODE_AUTH__TEACHER_SECRET": TEACHER},
    )
    try:
        await node.start()
        assert node["api_url"].startswith("http://school.example:")
        node.endpoints = {k: str(v).replace("school.example", "127.0.0.1") for k, v in node.endpoints.items()}
        yield node
    finally:
        await node.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lone_master(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AirnodeProcess]:
    """A master without a slave, with its own stores; nobody may join."""
    env = {"JWT_SECRET_KEY": SECRET, "AIRNODE_AUTH__TEACHER_SECRET": TEACHER, "AIRNODE_CLUSTER__TOKEN": SECRET[::-1]}
    node = AirnodeProcess(
        tmp_path_factory.mktemp("master") / "data", "--set", "auth.student_join=closed", role="master", env=env
    )
    try:
        yield await node.start()
    finally:
        await node.close()


@dataclass
class Lesson:
    """A class of its own."""

    room: str
    code: str
    stream_key: str
    rtmp_url: str
    teacher: str
    student: str


class Client:
    """A client with an address of its own; every answer is checked against the node's OpenAPI document."""

    def __init__(self, node: AirnodeProcess, session: aiohttp.ClientSession, contract: Contract) -> None:
        self.node = node
        self.session = session
        self.contract = contract
        number = next(_ADDRESSES)
        self.address = f"198.18.{number // 250}.{number % 250 + 1}"

    async def call(self, method: str, path: str, *, token: str = "", **kwargs) -> tuple[int, dict, dict]:
        """Return the status, the headers and the JSON body."""
        headers = {"X-Forwarded-For": self.address, **kwargs.pop("headers", {})}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = self.node["api_url"] + path
        async with self.session.request(method, url, headers=headers, **kwargs) as response:
            body = await response.json(content_type=None)
            self.contract.check(method, response.url.path, response.status, response.content_type, body)
            return response.status, dict(response.headers), body

    async def expect_problem(self, status: int, code: str, method: str, path: str, **kwargs) -> dict:
        """Return the body of an answer that is a problem with this status and code (RFC 9457)."""
        found, headers, body = await self.call(method, path, **kwargs)
        assert found == status, body
        return check_problem(found, headers, body, code)

    async def token(self, **fields: str) -> tuple[int, dict]:
        status, _, body = await self.call("POST", "/api/token", json=fields)
        return status, body


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
async def client(school: AirnodeProcess, session: aiohttp.ClientSession) -> Client:
    return Client(school, session, await Contract.of(school["api_url"], session))


@pytest.fixture
async def lesson(school: AirnodeProcess, client: Client) -> Lesson:
    """A new class on the shared node, with a teacher's and a student's token."""
    room = f"lesson-{next(_CLASSES)}"
    secret = school["teacher_secret"]
    status, _, made = await client.call("POST", "/api/classes", token=secret, json={"title": room, "room": room})
    assert status == 201, made
    _, teacher = await client.token(user_type="teacher", user_id="t", secret=secret, room=room)
    _, student = await client.token(user_type="student", user_id="s", code=made["class_code"])
    return Lesson(
        room, made["class_code"], teacher["stream_key"], teacher["rtmp_url"], teacher["token"], student["token"]
    )


@pytest.fixture
async def school_api(school: AirnodeProcess, session: aiohttp.ClientSession) -> Api:
    return Api(school, session)


@pytest.fixture
async def make_pair() -> AsyncIterator[Callable[[Path], Pair]]:
    pairs: list[Pair] = []

    def make(directory: Path, **settings: object) -> Pair:
        registry = CollectorRegistry()
        metrics, section = EmbeddedMetrics(registry), EmbeddedSection(**settings)
        pair = Pair(
            valkey=EmbeddedValkey(directory, section, metrics),
            postgres=EmbeddedPostgres(directory, section, metrics),
            registry=registry,
        )
        pairs.append(pair)
        return pair

    yield make
    for pair in pairs:
        await pair.stop()
