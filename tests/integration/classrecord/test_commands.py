"""``airnode record`` and ``airnode admin forget-user`` beside a node that runs, and its retention by age."""

import csv
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.redis import RedisSection
from tests.support.classroom import ANN, BOB, Outbox
from tests.support.forking import Forker
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(90)

#: The lesson is tomorrow, and whatever is older than a second is deleted.
MAX_AGE_S = 1
DAY_S = 86_400


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AirnodeProcess]:
    """A node with the record of one lesson."""
    directory = tmp_path_factory.mktemp("record") / "data"
    found = AirnodeProcess(directory, "--set", f"classes.record_max_age_s={MAX_AGE_S}")
    try:
        await found.start()
        await _lesson(found)
        yield found
    finally:
        await found.close()


async def _lesson(node: AirnodeProcess) -> None:
    bus = Bus(RedisSection(url=node["redis_url"]), BusMetrics(CollectorRegistry()))
    await bus.start()
    try:
        outbox, at_ms = Outbox(bus, node.room), round(time.time() + DAY_S) * 1000
        session = await outbox.session(at_ms, at_ms + 600_000)
        for number, user in enumerate((ANN, BOB)):
            await outbox.attended(session, user, at_ms, at_ms + 300_000)
            await outbox.message(f"m{number}", f"안녕 {number}", user=user, at_ms=at_ms + 1000)
    finally:
        await bus.stop()

    async def landed() -> bool:
        return await _count(node, "messages") == await _count(node, "attendance") == 2

    await eventually(landed, 30, "the lesson has landed")


async def _count(node: AirnodeProcess, table: str, user: str = "") -> int:
    connection = await asyncpg.connect(node["postgres_url"], ssl=False)
    try:
        query = f"SELECT count(*) FROM classroom.{table} WHERE $1 IN ('', user_id)"
        return int(await connection.fetchval(query, user))
    finally:
        await connection.close()


class Command:
    """Runs a command beside the node."""

    def __init__(self, forker: Forker, node: AirnodeProcess) -> None:
        self._forker = forker
        self._here = ("--data-dir", str(node.data_dir))

    async def __call__(self, *args: str, typed: str | None = None) -> tuple[int, str]:
        """Return the exit code and what it printed."""
        code, out, err = await self._forker.run(*args, *self._here, typed=typed)
        return code, out + err


async def test_a_record_is_shown_and_a_person_forgotten(node: AirnodeProcess, forker: Forker, tmp_path: Path):
    run = Command(forker, node)
    code, text = await run("record", node.room)
    heading, line = text.strip().splitlines()
    assert (code, heading.split()[0], line.split()[-2:]) == (0, "session", ["2", "2"])
    file = tmp_path / "lesson.csv"
    korean = ("--csv", "chat", "--lang", "ko", "--tz", "Asia/Seoul", "-o", str(file))
    assert await run("record", node["class_code"].lower(), *korean) == (0, "")
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8-sig"))))
    assert [row[4] for row in rows[1:]] == ["안녕 0", "안녕 1"]
    code, text = await run("record", node.room, "--json")
    assert (code, {row["student_id"] for row in json.loads(text)["attendance"]}) == (0, {"ann", "bob"})
    code, text = await run("record", "nowhere")
    assert (code, "no class with the room or the code 'nowhere'" in text) == (2, True), text

    # Whoever is not asked, does not answer yes, or names nobody, deletes nothing.
    for args, typed, said in (
        (("ann",), None, "add --yes"),
        (("ann", "--json"), None, '"deleted": false'),
        (("ann",), "n", "Delete it for good?"),
        (("nobody",), "y", "Nothing is kept of nobody."),
        (("nobody", "--yes", "--json"), None, '"deleted": false'),
    ):
        code, text = await run("admin", "forget-user", *args, typed=typed)
        assert (code, said in text) == (1, True), (args, text)
    assert await _count(node, "messages", "ann") == await _count(node, "attendance", "ann") == 1
    code, text = await run("admin", "forget-user", "ann", typed="y")
    assert (code, "Deleted of ann:" in text) == (0, True), text
    code, text = await run("admin", "forget-user", "bob", "--yes", "--json")
    assert (code, json.loads(text)["deleted"], json.loads(text)["found"]["messages"]) == (0, True, 1)
    for table in ("messages", "attendance"):
        assert await _count(node, table) == 0


async def test_what_is_too_old_is_deleted(node: AirnodeProcess):
    connection = await asyncpg.connect(node["postgres_url"], ssl=False)
    try:
        old, new = (
            "INSERT INTO classroom.sessions (session_id, room, started_at) "
            f"VALUES (gen_random_uuid(), '{room}', now() {when})"
            for room, when in (("old", "- interval '1 year'"), ("new", "+ interval '1 day'"))
        )
        await connection.execute(old)
        await connection.execute(new)

        async def rooms() -> bool:
            return {row["room"] for row in await connection.fetch("SELECT room FROM classroom.sessions")} == {
                node.room,
                "new",
            }

        await eventually(rooms, 30, "the old session is deleted, and the others stay")
    finally:
        await connection.close()
