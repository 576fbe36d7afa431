"""The class record on a real Kafka with three brokers: facts land once, through a relay that is killed in between."""

from collections.abc import AsyncIterator

import pytest

from tests.support.classroom import ANN, AT_MS, TEACHER, ClassroomRig
from tests.support.eventlog import LogRig
from tests.support.kafka import Kafka

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("kafka")]


@pytest.fixture
async def rig(kafka: Kafka, valkey_url: str, postgres_url: str) -> AsyncIterator[ClassroomRig]:
    async with LogRig(bootstrap=kafka.bootstrap, session_timeout_s=6) as logs:
        made = ClassroomRig(logs, valkey_url, postgres_url)
        async with made.stack:
            yield await made.open()


async def test_a_class_lands_once_and_in_order(rig: ClassroomRig):
    first = await rig.relay()
    await rig.consumer()
    session_id = await rig.outbox.session(AT_MS, AT_MS + 60_000)
    await rig.outbox.attended(session_id, ANN, AT_MS, AT_MS + 30_000)
    for number in range(50):
        await rig.outbox.message(f"m{number:02}", "안녕")
        await rig.outbox.add("moderation", {"deleted": f"m{number:02}"}, user=TEACHER)
    await first.stop()
    second = await rig.relay()
    # A relay that died after publishing: its entries are still there, and are published again.
    for number in range(50):
        await rig.outbox.message(f"m{number:02}", "안녕")
    await rig.outbox.message("m99", "the end")
    expected = [(f"m{number:02}", "") for number in range(50)] + [("m99", "the end")]
    await rig.until("messages", expected, "message_id, content")
    assert len(await rig.rows("attendance")) == len(await rig.rows("sessions")) == 1
    await rig.emptied()
    await second.stop()
