"""``airnode pipeline init`` and ``airnode dlq``, through the binary, on real stores."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from redis import asyncio as aioredis

from airnode.pipeline.admin.dlq import NEWEST, DeadLetterFilter
from airnode.store.eventlog.log import Record
from airnode.store.eventlog.stream_layout import TOPICS_KEY
from tests.integration.test_consumer_member import Rig, order
from tests.support.eventlog import LogRig
from tests.support.forking import Forker
from tests.support.waiting import eventually

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("kafka")]


class Command:
    """airnode on the stores of a test."""

    def __init__(self, forker: Forker, *stores: str) -> None:
        self.forker = forker
        self.stores = stores

    async def __call__(self, *args: str, code: int = 0, stores: tuple[str, ...] | None = None) -> str:
        """What it prints; with code 2 the one sentence that it says instead."""
        ended, out, err = await self.forker.run(*args, *(self.stores if stores is None else stores))
        assert ended == code, (out, err)
        assert "Traceback" not in err
        if code == 2:
            lines = [line for line in err.splitlines() if line.startswith(("airnode: ", "Error: "))]
            assert len(lines) == 1, err
            return lines[0]
        return out


@pytest.fixture
def airnode(forker: Forker, valkey_url: str, postgres_url: str, tmp_path: Path) -> Command:
    here = ("--data-dir", str(tmp_path / "d"))
    return Command(forker, "--redis-url", valkey_url, "--postgres-url", postgres_url, *here)


# -- airnode pipeline init --------------------------------------------------------------------------------------------


async def test_init_makes_all_and_the_second_time_nothing(airnode: Command):
    first = json.loads(await airnode("pipeline", "init", "--json"))
    assert [int(name[:4]) for name in first["migrations_applied"]] == [*range(1, first["schema_version"] + 1)]
    assert first["schema_version"] >= 5
    assert {name: (facts["partitions"], facts["made"]) for name, facts in first["topics"].items()} == {
        "users": (3, True),
        "products": (3, True),
        "orders": (3, True),
        "classroom": (3, True),
        "dead-letters": (1, True),
    }
    second = json.loads(await airnode("pipeline", "init", "--json"))
    assert (second["migrations_applied"], second["schema_version"]) == ([], first["schema_version"])
    assert not any(facts["made"] for facts in second["topics"].values())
    text = await airnode("pipeline", "init")
    assert "up to date" in text
    assert "orders        3 partitions, there already" in text


async def test_init_on_kafka(forker: Forker, postgres_url: str, kafka):
    brokers = json.dumps(list(kafka.bootstrap))
    airnode = Command(forker, "--postgres-url", postgres_url, "--set", f"kafka.bootstrap={brokers}")
    made = json.loads(await airnode("pipeline", "init", "--json"))
    assert made["event_log"].startswith("Kafka at ")
    before = made["topics"]["orders"]["partitions"]
    wanted = ("--set", f"eventlog.partitions={before + 1}")
    assert f"has {before} partitions, and {before + 1} are wanted" in await airnode("pipeline", "init", *wanted, code=2)
    grown = json.loads(await airnode("pipeline", "init", "--grow", "--json", *wanted))
    assert grown["topics"]["orders"] == {"partitions": before + 1, "made": False, "grown_from": before}


async def test_too_few_partitions_is_a_sentence_and_grow_mends_it(airnode: Command, valkey_url: str):
    await airnode("pipeline", "init")
    six = ("--set", "eventlog.partitions=6")
    said = await airnode("pipeline", "init", *six, code=2)
    assert "has 3 partitions, and 6 are wanted" in said
    assert "airnode pipeline init --grow" in said
    for role in ("producer", "consumer"):
        assert "has 3 partitions, and 6 are wanted" in await _role(airnode, role, *six)
    assert "6 partitions, had 3" in await airnode("pipeline", "init", "--grow", *six)
    async with aioredis.from_url(valkey_url) as client:
        counts = {topic: int(count) for topic, count in (await client.hgetall(TOPICS_KEY)).items()}
    assert counts == {b"users": 6, b"products": 6, b"orders": 6, b"classroom": 6, b"dead-letters": 1}
    assert "6 partitions, there already" in await airnode("pipeline", "init")  # more than are wanted is fine


async def _role(airnode: Command, role: str, *args: str, stores: tuple[str, ...] | None = None) -> str:
    """What a role that cannot start says."""
    key = ("--set", "auth.jwt_secret=" + "0123456789abcdef" * 3, "--port", "0", "--host", "127.0.0.1")
    return await airnode("--role", role, *key, *args, code=2, stores=stores)


async def test_a_missing_unique_key_is_a_sentence(airnode: Command, postgres_url: str):
    await airnode("pipeline", "init")
    await _execute(postgres_url, "ALTER TABLE pipeline.orders DROP CONSTRAINT orders_pkey")
    mend = "ALTER TABLE pipeline.orders ADD PRIMARY KEY (event_id)"
    assert mend in await airnode("pipeline", "init", code=2)
    assert mend in await _role(airnode, "consumer")
    await _execute(postgres_url, mend)
    await airnode("pipeline", "init")


async def test_a_schema_that_is_newer_or_older_is_a_sentence(airnode: Command, postgres_url: str):
    assert "bring it up to date with: airnode pipeline init" in await airnode("dlq", "list", code=2)
    await airnode("pipeline", "init")
    await _execute(postgres_url, "INSERT INTO airnode_migrations (version, name, sha256) VALUES (999, 'x', 'y')")
    for said in (
        await airnode("pipeline", "init", code=2),
        await airnode("dlq", "list", code=2),
        await _role(airnode, "producer"),
        await _role(airnode, "consumer"),
    ):
        assert "schema version 999" in said
        assert "upgrade airnode" in said


async def test_stores_that_are_not_there_are_a_sentence(
    airnode: Command, valkey_url: str, postgres_url: str, tmp_path: Path
):
    here = ("--data-dir", str(tmp_path / "d"))
    quick = ("--set", "redis.connect_timeout_s=0.3", "--set", "postgres.connect_timeout_s=0.3")
    airnode.stores += quick
    nowhere, no_database = "redis://127.0.0.1:1", "postgresql://x@127.0.0.1:1/x"
    said = await airnode("pipeline", "init", code=2, stores=here)
    assert "no node with its own one runs with the data directory" in said
    assert "--postgres-url" in await airnode("dlq", "list", code=2, stores=here)
    no_redis = ("--redis-url", nowhere, "--postgres-url", postgres_url, *here, *quick)
    assert "Redis at 127.0.0.1:1 did not answer" in await airnode("pipeline", "init", code=2, stores=no_redis)
    gone = ("--redis-url", valkey_url, "--postgres-url", no_database, *here, *quick)
    for said in (
        await airnode("pipeline", "init", code=2, stores=gone),
        await _role(airnode, "producer", stores=gone),
    ):
        assert "PostgreSQL at 127.0.0.1:1/x did not answer within 0.3 s" in said
    brokers = ("--set", 'kafka.bootstrap=["127.0.0.1:1"]', "--set", "eventlog.request_timeout_s=1")
    said = await _role(airnode, "producer", *brokers)
    assert "Kafka at 127.0.0.1:1 does not answer" in said
    assert "KAFKA_BOOTSTRAP_SERVERS" in said
    assert "needs a PostgreSQL: set postgres.url" in await _role(airnode, "producer", stores=here)


async def test_settings_out_of_range_are_all_named_at_once(airnode: Command):
    wrong = (
        "pipeline.rate_per_s=-1",
        "eventlog.partitions=0",
        "pipeline.group=a b",
        "pipeline.batch_records=0",
        "cache.new_data_ratio=1",
    )
    sets = (part for setting in wrong for part in ("--set", setting))
    code, _, err = await airnode.forker.run("--role", "producer,consumer", *airnode.stores, *sets)
    assert code == 2
    assert "Traceback" not in err
    for setting in wrong:
        assert setting.partition("=")[0] in err


async def _execute(postgres_url: str, statement: str) -> None:
    connection = await asyncpg.connect(postgres_url, ssl=False)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_reading_groups_are_listed_and_abandoned_ones_can_be_forgotten(airnode: Command, rig: Rig):
    assert await airnode("pipeline", "groups") == "Nobody has read anything yet.\n"
    lane = await rig.lane("orders")
    await rig.log.publish([order().record()])
    await rig.until("orders", 1)
    await eventually(rig.caught_up, 20)
    assert "g      1        orders  0" in await airnode("pipeline", "groups")
    assert "stop its consumers" in await airnode("pipeline", "forget", "g", "--yes", code=2)
    await lane.stop()
    await rig.log.publish([order().record()])
    (group,) = json.loads(await airnode("pipeline", "groups", "--json"))
    assert group == {"group": "g", "members": 0, "behind": {"orders": 1}}
    assert "g has not read 1 event. Forget it?" in await airnode("pipeline", "forget", "g", code=1)
    assert await airnode("pipeline", "forget", "g", "--yes") == "Forgot g.\n"
    assert "There is no group g" in await airnode("pipeline", "forget", "g", code=2)
    elsewhere = await airnode("pipeline", "groups", "--set", "kafka.bootstrap=127.0.0.1:1", code=2)
    assert "kafka-consumer-groups.sh" in elsewhere


# -- airnode dlq ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def rig(valkey_url: str, postgres_url: str) -> AsyncIterator[Rig]:
    async with LogRig(redis_url=valkey_url) as logs:
        made = await Rig(logs, postgres_url).open()
        async with made.stack:
            yield made


async def _dead(rig: Rig) -> None:
    """Three records that are refused, one that is no JSON, and one from nowhere."""
    await rig.lane("orders")
    await rig.letters()
    refused = [order(user_id=n, quantity=0) for n in (1, 2, 3)]
    evil = Record("orders", "\x1b[31mkey", b"\xff\x1b[2J no json")
    await rig.log.publish([*(each.record() for each in refused), evil])
    await rig.log.publish([Record("dead-letters", "", b'"\\u001b[2J"')])
    await rig.until("dead_letters", 5)


async def test_a_poison_record_is_seen_mended_replayed_and_lands(airnode: Command, rig: Rig):
    await _dead(rig)
    listed = json.loads(await airnode("dlq", "list", "--json", "--topic", "orders", "--reason", "refused"))
    assert len(listed) == 3
    assert {each["value"]["user_id"] for each in listed} == {1, 2, 3}
    assert all(each["attempts"] == 1 and each["replayed_at"] is None for each in listed)
    one = listed[0]["letter_id"]
    page = await airnode("dlq", "show", one[:13])
    assert '"quantity": 0' in page
    assert "quantity_check" in page

    # Nothing is mended: it dies again, and that counts.
    assert await airnode("dlq", "replay", one) == "Replayed 1 dead letter.\n"
    await rig.until("dead_letters", 6)
    again = [each for each in json.loads(await airnode("dlq", "list", "--json")) if each["attempts"] == 2]
    assert [each["value"]["event_id"] for each in again] == [listed[0]["value"]["event_id"]]
    assert one not in await airnode("dlq", "list", "--json")
    assert one in await airnode("dlq", "list", "--json", "--replayed")

    await rig.postgres.execute("ALTER TABLE pipeline.orders DROP CONSTRAINT orders_quantity_check")
    asked = await airnode("dlq", "replay", "--reason", "refused", code=1)
    assert "Would replay 3 dead letters" in asked
    assert "add --yes" in asked
    assert await rig.count("orders") == 0
    assert await airnode("dlq", "replay", "--reason", "refused", "--yes") == "Replayed 3 dead letters.\n"
    await rig.until("orders", 3)
    assert await airnode("dlq", "replay", "--reason", "refused", "--yes") == "No dead letters to replay.\n"
    assert await airnode("dlq", "replay", one) == "Replayed 1 dead letter.\n"  # by name: once more, and lands no twice
    await rig.log.publish([order(user_id=99).record()])
    await rig.until("orders", 4)


async def test_letters_are_filtered_shown_harmlessly_and_dropped(airnode: Command, rig: Rig):
    await _dead(rig)
    text = await airnode("dlq", "list")
    assert len(text.splitlines()) == 6
    assert len((await airnode("dlq", "list", "--limit", "2")).splitlines()) == 3
    assert len(json.loads(await airnode("dlq", "list", "--json", "--since", "1h"))) == 5
    assert await airnode("dlq", "list", "--since", "2999-01-01") == "No dead letters.\n"
    bad = json.loads(await airnode("dlq", "list", "--json", "--reason", "not_json"))[0]
    assert bytes.fromhex(bad["value_hex"]) == b"\xff\x1b[2J no json"
    stray = next(each for each in json.loads(await airnode("dlq", "list", "--json")) if not each["topic"])
    for letter in (bad, stray):
        page = await airnode("dlq", "show", letter["letter_id"])
        assert "\x1b" not in page
        assert json.loads(await airnode("dlq", "show", "--json", letter["letter_id"])) == letter
    assert b"\xff\x1b[2J no json".hex() in await airnode("dlq", "show", bad["letter_id"])
    assert "\x1b" not in text

    # One from nowhere goes nowhere.
    assert "1 left as they were" in await airnode("dlq", "replay", stray["letter_id"], code=1)
    # Nobody said which, or nobody agreed: nothing happens.
    assert "Which ones?" in await airnode("dlq", "drop", code=2)
    assert "or --all" in await airnode("dlq", "replay", "--all", stray["letter_id"], code=2)
    assert "Nothing was done" in await airnode("dlq", "drop", stray["letter_id"], code=1)
    assert await rig.count("dead_letters") == 5
    assert await airnode("dlq", "drop", stray["letter_id"], "--yes") == "Dropped 1 dead letter.\n"
    assert await airnode("dlq", "drop", "--reason", "not_json", "--yes") == "Dropped 1 dead letter.\n"
    assert await rig.count("dead_letters") == 3
    assert "There is no dead letter" in await airnode("dlq", "show", stray["letter_id"], code=2)
    assert "no id of a dead letter" in await airnode("dlq", "show", "%", code=2)
    assert "no age such as 90m" in await airnode("dlq", "list", "--since", "soon", code=2)
    assert await airnode("dlq", "drop", "--all", "--yes") == "Dropped 3 dead letters.\n"


async def test_the_newest_letters_are_found_without_reading_all(rig: Rig):
    """The plan, with sorting made dear: on an empty table any plan would be cheap."""
    async with rig.postgres.transaction() as connection:
        await connection.execute("SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off")
        for wanted in (DeadLetterFilter(limit=50), DeadLetterFilter(topic="orders", replayed=True, limit=50)):
            plan = await connection.fetch(f"EXPLAIN {NEWEST}", *wanted.arguments())
            lines = "\n".join(row[0] for row in plan)
            assert "using dead_letters_died_at" in lines
            assert "Sort" not in lines
