"""Kafka stops while roles run, and starts again without their account: they report it, and recover."""

import asyncio
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from tests.integration.test_pipeline_outage import more_lands, told
from tests.support.kafka_secured import TEMPORARY_USER, SecuredKafka, environment
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("secured-kafka")]

_PASSWORD = "the.travellers.password"
_ROWS = """
INSERT INTO pipeline.users (name, email, locale) VALUES ('Mina', 'mina@example.com', 'ko');
INSERT INTO pipeline.products (title, category, price_krw) VALUES ('Go', 'code', 9000)
"""


async def test_an_outage_of_the_broker_and_a_revoked_account(
    tmp_path: Path, secured_kafka: SecuredKafka, valkey_url: str, postgres_url: str
):
    secured_kafka.set_password(TEMPORARY_USER, _PASSWORD)
    kafka = secured_kafka.section("SASL_SSL", sasl_username=TEMPORARY_USER, sasl_password=_PASSWORD)
    node = AirnodeProcess(
        tmp_path / "pipeline",
        "--redis-url",
        valkey_url,
        "--postgres-url",
        postgres_url,
        "--rate",
        "50",
        "--set",
        "eventlog.request_timeout_s=3",
        "--set",
        "eventlog.session_timeout_s=3",
        "--log-level",
        "info",
        role="cache-worker,producer,consumer",
        env={**environment(kafka), "JWT_SECRET_KEY": "0123456789abcdef" * 4},
    )
    try:
        await node.start(60)
        pid = node.pid
        database = await asyncpg.connect(postgres_url, ssl=False)
        await database.execute(_ROWS)
        await database.close()
        async with aiohttp.ClientSession() as session:

            async def reports(words: str) -> None:
                async def reported() -> bool:
                    checks = await told(session, node, "degraded")
                    return words in (checks["event_log"]["detail"] or "")

                await eventually(reported, 40, f"it says that Kafka {words}")

            await told(session, node, "healthy")
            await more_lands(postgres_url)

            secured_kafka.set_password(TEMPORARY_USER, "")
            await more_lands(postgres_url)  # connections that have signed in stay open
            secured_kafka.kill_broker(1)
            await reports("does not answer: check kafka.bootstrap")
            secured_kafka.start_broker(1)
            await asyncio.to_thread(secured_kafka.wait_for_broker, 1)
            await reports(f"refuses the sign-in of '{TEMPORARY_USER}'")
            secured_kafka.set_password(TEMPORARY_USER, _PASSWORD)
            await told(session, node, "healthy")
            await more_lands(postgres_url)
        assert node.pid == pid
        assert await node.stop() == 0
        assert _PASSWORD not in node.log
        assert "Traceback" not in node.log
        assert "SaslAuthenticationFailed" in node.log
        assert len(node.log.splitlines()) < 400
    finally:
        secured_kafka.restart_killed()
        await node.close()
