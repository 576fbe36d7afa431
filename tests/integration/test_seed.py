"""airnode seed and airnode cache-monitor: rows under the ids from 1 on, each once; new customers with their events."""

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import asyncio as aioredis

from airnode.config.sections.postgres import PostgresSection
from airnode.errors import Conflict, Unavailable
from airnode.pipeline.events import UserRegistered, decode_event
from airnode.pipeline.seed.new_customers import count_waiting, follow, register
from airnode.pipeline.seed.people import user_rows
from airnode.pipeline.seed.seeder import seed
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

_ADD = "INSERT INTO pipeline.users (name, email, locale) VALUES ('Someone', $1, 'en') RETURNING user_id"


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[Postgres]:
    made = Postgres(PostgresSection(url=postgres_url))
    await made.start()
    await migrate(made)
    yield made
    await made.stop()


async def ids(postgres: Postgres, table: str = "users") -> list[int]:
    return [row[0] for row in await postgres.fetch(f"SELECT {table[:-1]}_id FROM pipeline.{table} ORDER BY 1")]


async def test_rows_are_made_once_and_a_higher_count_adds_the_rest(postgres: Postgres):
    steps: list[tuple[str, int, int]] = []
    filled = await seed(postgres, 5500, 30, progress=lambda *step: steps.append(step))
    assert (filled["users"].added, filled["users"].total, filled["products"].added) == (5500, 5500, 30)
    assert filled["users"].rows_per_s > 0
    assert steps[0] == ("users", 5000, 5500)
    assert steps[-1] == ("products", 30, 30)
    rows = await postgres.fetch("SELECT user_id, name, email, locale FROM pipeline.users ORDER BY user_id")
    assert [tuple(row) for row in rows] == list(user_rows(1, range(1, 5501)))
    again = await seed(postgres, 5500, 30, number=2)
    assert (again["users"].added, again["products"].added) == (0, 0)
    assert again["users"].rows_per_s == 0
    more = await seed(postgres, 5510, 30)
    assert (more["users"].added, more["users"].total) == (10, 5510)
    none = await seed(postgres, 0, 0)
    assert (none["users"].added, none["users"].total) == (0, 5510)


async def test_rows_of_others_stay_and_holes_are_filled(postgres: Postgres):
    first = await postgres.fetchval(_ADD, "a@school.example")
    assert first == 1
    assert (await seed(postgres, 10, 0))["users"].added == 9
    assert await postgres.fetchval("SELECT name FROM pipeline.users WHERE user_id = 1") == "Someone"
    assert await postgres.fetchval(_ADD, "b@school.example") == 11, "whoever comes next is not in the way"
    await postgres.execute("DELETE FROM pipeline.users WHERE user_id IN (4, 7)")
    assert (await seed(postgres, 12, 0))["users"].added == 3
    assert await ids(postgres) == list(range(1, 13))
    assert await postgres.fetchval(_ADD, "c@school.example") == 13


async def test_two_seeders_and_another_writer_at_the_same_time(postgres: Postgres):
    async def add_rows() -> None:
        for number in range(100):
            await postgres.fetchval(_ADD, f"n{number}@school.example")

    one, two, _ = await asyncio.gather(seed(postgres, 12_000, 0), seed(postgres, 12_000, 0), add_rows())
    assert one["users"].added + two["users"].added <= 12_000
    found = await ids(postgres)
    assert set(found) >= set(range(1, 12_001))
    assert await postgres.fetchval("SELECT count(*) FROM pipeline.users WHERE name = 'Someone'") == 100


async def test_one_that_is_interrupted_goes_on_where_it_was(postgres: Postgres):
    def stop(_table: str, done: int, _total: int) -> None:
        if done >= 10_000:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        await seed(postgres, 20_000, 0, progress=stop)
    assert await ids(postgres) == list(range(1, 10_001))
    assert (await seed(postgres, 20_000, 0))["users"].added == 10_000


async def test_a_conflicting_row_is_named(postgres: Postgres):
    email = next(user_rows(1, [3]))[2]
    await postgres.execute(
        "INSERT INTO pipeline.users (user_id, name, email, locale) VALUES (900, 'x', $1, 'en')", email
    )
    with pytest.raises(Conflict, match=re.escape(email)):
        await seed(postgres, 10, 0)


async def test_each_new_customer_has_an_event_in_the_outbox(postgres: Postgres):
    await seed(postgres, 5, 0)
    made = await register(postgres, 40, random.Random(1))
    assert len(made) == 40
    assert await count_waiting(postgres) == 40
    rows = await postgres.fetch("SELECT topic, key, value, event_id FROM pipeline.outbox ORDER BY position")
    events = [decode_event(bytes(row["value"]), row["topic"]) for row in rows]
    assert [event.user_id for event in events] == made
    for event, row in zip(events, rows, strict=True):
        assert isinstance(event, UserRegistered)
        assert (event.event_id, event.key) == (row["event_id"], row["key"])
        person = await postgres.fetchrow("SELECT name, email FROM pipeline.users WHERE user_id = $1", event.user_id)
        assert tuple(person) == (event.name, event.email)


async def test_without_its_event_there_is_no_customer(postgres: Postgres):
    await postgres.execute("ALTER TABLE pipeline.outbox RENAME TO outbox_away")
    with pytest.raises(Unavailable):
        await register(postgres, 3, random.Random(1))
    await postgres.execute("ALTER TABLE pipeline.outbox_away RENAME TO outbox")
    await postgres.execute("ALTER TABLE pipeline.users ADD CONSTRAINT ours CHECK (locale = 'fr')")
    with pytest.raises(Conflict, match="ours"):
        await register(postgres, 3, random.Random(1))
    assert await ids(postgres) == []


async def test_following_goes_on_after_trouble(postgres: Postgres):
    told: list[tuple[int, str]] = []

    async def tell(total: int, trouble: str) -> None:
        told.append((total, trouble))

    await postgres.execute("ALTER TABLE pipeline.outbox RENAME TO outbox_away")
    following = asyncio.create_task(follow(postgres, 200, random.Random(1), tell))
    await eventually(lambda: told and told[-1][1], 20)
    await postgres.execute("ALTER TABLE pipeline.outbox_away RENAME TO outbox")
    await eventually(lambda: told[-1][0] >= 50, 20)
    following.cancel()
    await asyncio.wait([following])
    count = await postgres.fetchval("SELECT count(*) FROM pipeline.users")
    assert count >= told[-1][0]
    assert await count_waiting(postgres) == count


# -- the commands -----------------------------------------------------------------------------------------------------


async def begin(*args: str, **more: str) -> asyncio.subprocess.Process:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AIRNODE_", "POSTGRES_", "REDIS_"))}
    env |= more
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "airnode", *args, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=env
    )


async def command(*args: str) -> tuple[int, str, str]:
    process = await begin(*args)
    async with asyncio.timeout(50):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.timeout(180)
async def test_seeding_and_watching_the_cache_of_a_node_on_this_machine(tmp_path: Path):
    node = AirnodeProcess(tmp_path / "data", "--set", "cache.batch_size=50", role="standalone,cache-worker")
    try:
        await node.start()
        here = ("--data-dir", str(node.data_dir))
        code, out, err = await command("seed", *here, "--users", "300", "--products", "40")
        assert code == 0, err
        assert re.fullmatch(
            r"Users     300 added, 300 there, [\d,]+ rows/s\nProducts  40 added, 40 there, [\d,]+ rows/s\n", out
        )
        code, out, _ = await command("seed", *here, "--users", "300", "--products", "41", "--json")
        assert (code, json.loads(out)["users"]["added"], json.loads(out)["products"]["added"]) == (0, 0, 1)

        async with aioredis.from_url(node["redis_url"]) as redis:

            async def cached() -> bool:
                return [await redis.hlen(f"cache:{table}") for table in ("users", "products")] in ([50, 40], [50, 41])

            await eventually(cached, 30)
        code, line, err = await command("cache-monitor", *here, "--once")
        assert code == 0, err
        assert re.fullmatch(
            r"\[\d\d:\d\d:\d\d\] \[\d+/50s #*-*\] \| MEM: [\d.]+[KM] \| OPS/s: \d+ \| HIT: - "
            r"\| CACHE: users=50, products=4[01] \| SWAPS: \d+\n",
            line,
        )
    finally:
        await node.close()


@pytest.mark.timeout(180)
async def test_following_and_monitoring_end_with_a_signal(postgres_url: str, valkey_url: str):
    args = ("--users", "5", "--products", "5", "--follow", "--rate", "50", "--postgres-url", postgres_url)
    seeding = await begin("seed", *args)
    watching = await begin("cache-monitor", "--redis-url", valkey_url, "--interval", "0.1", "--json")
    narrow = await begin("cache-monitor", "--redis-url", valkey_url, FORCE_COLOR="1", TERM="xterm", COLUMNS="80")
    try:
        async with asyncio.timeout(50):
            assert seeding.stdout is not None
            assert watching.stdout is not None
            lines = [(await seeding.stdout.readline()).decode() for _ in range(4)]
            looks = [json.loads(await watching.stdout.readline()) for _ in range(2)]
            assert lines[2] == "New customers, 50 a second; Ctrl+C ends it.\n"
            assert re.fullmatch(r"registered \d+ \([\d.]+/s\) · \d+ events? waits? for a producer\n", lines[3])
            assert looks[1]["users"] == 0
            assert looks[1]["hit_ratio"] is None
            seeding.send_signal(signal.SIGINT)
            watching.send_signal(signal.SIGTERM)
            rest, err = await seeding.communicate()
            assert (seeding.returncode, err) == (0, b"")
            assert re.search(rb"[\d,]+ customers registered\.\n$", rest)
            assert await watching.wait() == 0
            await watching.communicate()
            assert narrow.stdout is not None
            assert b"users=0, products=0" in await narrow.stdout.readuntil(b"| SWAPS: 0"), "all of it, on two lines"
            narrow.send_signal(signal.SIGINT)
            assert await narrow.wait() == 0
            await narrow.communicate()
    finally:
        for process in (seeding, watching, narrow):
            if process.returncode is None:
                process.kill()
                await process.communicate()


@pytest.mark.timeout(180)
async def test_without_a_store_the_error_names_the_remedy(tmp_path: Path):
    nowhere = ("--data-dir", str(tmp_path / "none"))
    (code, _, err), (other_code, _, other) = await asyncio.gather(
        command("seed", *nowhere), command("cache-monitor", *nowhere, "--once")
    )
    assert (code, other_code) == (2, 2)
    assert "--postgres-url (POSTGRES_HOST)" in err
    assert "--redis-url (REDIS_URL)" in other
    code, _, err = await command("seed", "--users", "-1")
    assert code == 2
    assert "--users" in err
