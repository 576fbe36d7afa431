"""The pipeline's commands and roles on a secured Kafka, as processes that are configured by their environment."""

import asyncio
import json
import re
import signal
import uuid
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from airnode.store.eventlog.log import Record
from tests.integration.test_pipeline_commands import Command
from tests.integration.test_seed import begin
from tests.support.forking import Forker
from tests.support.kafka_secured import SecuredKafka, environment, flags, open_kafka_log
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.usefixtures("connections_closed"),
    pytest.mark.xdist_group("secured-kafka"),
]

_PASSWORD = "a.password.for.workers"


async def test_outbox_events_are_inserted_and_invalid_records_become_dead_letters(
    forker: Forker, secured_kafka: SecuredKafka, valkey_url: str, postgres_url: str, tmp_path: Path
):
    """With a user that has exactly the rights that the README names."""
    stores = ("--redis-url", valkey_url, "--postgres-url", postgres_url)
    master = Command(forker, *stores, *flags(secured_kafka.section("SASL_SSL")))
    made = json.loads(await master("pipeline", "init", "--json"))
    assert made["event_log"] == f"Kafka at {secured_kafka.broker('SASL_SSL')}"
    group = f"pupils-{uuid.uuid4().hex[:8]}"
    kafka = secured_kafka.section("SASL_SSL", sasl_username="worker", sasl_password=_PASSWORD)
    secured_kafka.set_password("worker", _PASSWORD)
    for topic in made["topics"]:
        for right in ("DESCRIBE", "READ", "WRITE"):
            secured_kafka.allow("worker", right, topic=topic)
    for each in (group, "classroom_group", "dead_letters_group"):
        secured_kafka.allow("worker", "READ", group=each)
    airnode = Command(forker, *stores, *flags(kafka))
    env = {**environment(kafka), "JWT_SECRET_KEY": "0123456789abcdef" * 4, "AIRNODE_PIPELINE__GROUP": group}
    node = AirnodeProcess(tmp_path / "node", *stores, role="producer,consumer", env=env)
    seeding = await begin("seed", "--users", "5", "--products", "5", "--follow", "--rate", "50", *stores[2:])
    try:
        await node.start(60)
        database = await asyncpg.connect(postgres_url, ssl=False)
        try:

            async def registered() -> bool:
                """Count only new customers: the topic also has events of other tests."""
                rows = await database.fetch(
                    "SELECT e.event_id FROM pipeline.user_events e JOIN pipeline.users u USING (user_id)"
                    " WHERE u.user_id > 5 AND e.type = 'user.registered'"
                )
                return len(rows) >= 20

            await eventually(registered, 40, "new customers' events land")
        finally:
            await database.close()
        seeding.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await seeding.communicate()
        assert seeding.returncode == 0

        poison = b"\xff" + uuid.uuid4().bytes
        async with open_kafka_log(kafka) as log:
            await log.publish([Record("orders", "someone", poison)])
        first = await _letter(airnode, poison, attempts=1)
        assert poison.hex() in await airnode("dlq", "show", first)
        assert await airnode("dlq", "replay", first) == "Replayed 1 dead letter.\n"
        second = await _letter(airnode, poison, attempts=2)
        for letter in (first, second):
            assert await airnode("dlq", "drop", letter, "--yes") == "Dropped 1 dead letter.\n"
        assert await node.stop() == 0
    finally:
        await node.close()
        if seeding.returncode is None:
            seeding.kill()
            await seeding.communicate()


async def _letter(airnode: Command, value: bytes, attempts: int) -> str:
    """Return the id of the dead letter with this value. The topic may have letters of other tests."""

    async def found() -> str:
        letters = json.loads(await airnode("dlq", "list", "--json", "--reason", "not_json"))
        mine = [each for each in letters if each["value_hex"] == value.hex() and each["attempts"] == attempts]
        return mine[0]["letter_id"] if mine else ""

    return await eventually(found, 30, "the letter is in the table")


async def test_the_demonstration_on_kafka(secured_kafka: SecuredKafka, tmp_path: Path):
    kafka = secured_kafka.section("SASL_SSL")
    env = {**environment(kafka), "AIRNODE_PIPELINE__GROUP": f"pupils-{uuid.uuid4().hex[:8]}"}
    node = AirnodeProcess(tmp_path / "data", "--demo-pipeline", env=env)
    try:
        await node.start(60)
        async with aiohttp.ClientSession() as session:

            async def landed() -> bool:
                async with session.get(node["metrics_url"]) as response:
                    text = await response.text()
                produced = re.search(r'^airnode_eventlog_published_total\{topic="orders"\} (.+)$', text, re.MULTILINE)
                found = re.search(r'^airnode_pipeline_landed_total\{topic="orders"\} (.+)$', text, re.MULTILINE)
                return bool(produced and float(produced[1]) and found and float(found[1]))

            await eventually(landed, 40, "an order lands")
            async with session.get(node["health_url"] + "/health") as response:
                health = await response.json()
        assert health["checks"]["event_log"]["ok"], health
        assert await node.stop() == 0
    finally:
        await node.close()
