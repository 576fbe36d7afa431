"""Rights on Kafka: the error for a missing right, and recovery when it is granted later."""

import uuid

import pytest

from airnode.errors import AirnodeError, StartupError, Unavailable
from airnode.store.eventlog.log import GroupSubscription, Partition, Rebalancing, Record
from tests.support.eventlog import read
from tests.support.kafka_secured import GUEST, GUEST_PASSWORD, SecuredKafka, open_kafka_log
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("connections_closed"),
    pytest.mark.xdist_group("secured-kafka"),
]

_AS_GUEST = {"sasl_username": GUEST, "sasl_password": GUEST_PASSWORD}


async def test_the_error_for_each_missing_right(secured_kafka: SecuredKafka):
    topic, group = uuid.uuid4().hex, uuid.uuid4().hex
    async with open_kafka_log(secured_kafka.section("PLAINTEXT")) as log:
        await log.ensure_topics({topic: 1})
    async with open_kafka_log(secured_kafka.section("SASL_SSL", **_AS_GUEST)) as log:
        with pytest.raises(StartupError, match=f"refuses access to the topic {topic}: grant the user Describe, Read"):
            await log.ensure_topics({topic: 1})
        with pytest.raises(StartupError, match="refuses access to the topic"):
            await log.ensure_topics({uuid.uuid4().hex: 1})

        secured_kafka.allow(GUEST, "DESCRIBE", topic=topic)

        async def there() -> bool:
            return topic in await log.topics()

        await eventually(there, 20)
        member = log.subscribe([topic], group)
        with pytest.raises(StartupError, match=f"refuses access to the group {group}: grant the user Read on it"):
            await member.start()
        with pytest.raises(Unavailable, match="refuses to publish: grant the user Write"):
            await log.publish([Record(topic, "k", b"1")])

        secured_kafka.allow(GUEST, "WRITE", topic=topic)
        secured_kafka.allow(GUEST, "READ", topic=topic)
        secured_kafka.allow(GUEST, "READ", group=group)

        async def published() -> bool:
            try:
                await log.publish([Record(topic, "k", b"2")])
            except Unavailable as error:
                print(error.detail, error.debug)
                return False
            return True

        await eventually(published, 20, "it may write")
        member = log.subscribe([topic], group)
        await _start(member)
        try:
            assert {each.value for each in await read(member, 1)} == {b"2"}
        finally:
            await member.stop()


async def test_a_right_to_write_that_is_granted_later(secured_kafka: SecuredKafka):
    """Refused records leave no gap in the sequence numbers of the producer."""
    mine, other = uuid.uuid4().hex, uuid.uuid4().hex
    async with open_kafka_log(secured_kafka.section("PLAINTEXT")) as log:
        await log.ensure_topics({mine: 1, other: 1})
    secured_kafka.allow(GUEST, "WRITE", topic=mine)
    secured_kafka.allow(GUEST, "DESCRIBE", topic=other)
    async with open_kafka_log(secured_kafka.section("SASL_SSL", **_AS_GUEST)) as log:

        async def published(*topics: str) -> str:
            try:
                await log.publish([Record(topic, "k", b"1") for topic in topics])
            except AirnodeError as error:
                return error.detail
            return ""

        async def only_mine() -> bool:
            return not await published(mine) and "refuses access" in await published(other)

        await eventually(only_mine, 20, "it may write to one")
        details = await published(mine, other)
        assert f"refuses access to the topic {other}: grant the user" in details
        secured_kafka.allow(GUEST, "WRITE", topic=other)

        async def both() -> bool:
            details.append(await published(mine, other))
            return not details[-1]

        details = []
        await eventually(both, 20, f"it may write to both: {details}")


async def test_a_right_on_the_group_that_is_revoked_and_granted_again(secured_kafka: SecuredKafka):
    """aiokafka never joins the group again after this error."""
    topic, group = uuid.uuid4().hex, uuid.uuid4().hex
    lost: list[Partition] = []

    async def forget(partitions) -> None:
        lost.extend(partitions)

    async with open_kafka_log(secured_kafka.section("PLAINTEXT")) as admin_log:
        await admin_log.ensure_topics({topic: 1})
        secured_kafka.allow(GUEST, "READ", topic=topic)
        secured_kafka.allow(GUEST, "READ", group=group)
        async with open_kafka_log(secured_kafka.section("SASL_SSL", **_AS_GUEST)) as log:
            member = log.subscribe([topic], group, Rebalancing(revoked=forget, lost=forget))
            await _start(member)
            try:
                await admin_log.publish([Record(topic, "k", b"1")])
                (one,) = await read(member, 1)
                await member.commit({one.partition: one.next_offset})
                await log.ping()
                secured_kafka.deny_all(group)

                async def reported() -> bool:
                    await member.poll(max_records=10, wait_s=0.1)
                    try:
                        await log.ping()
                    except Unavailable as error:
                        return f"refuses access to the group {group}: grant the user Read" in error.detail
                    return False

                await eventually(reported, 40, "it says what is missing")
                assert set(lost) == {Partition(topic, 0)}
                await admin_log.publish([Record(topic, "k", b"2")])
                secured_kafka.allow(GUEST, "READ", group=group)
                assert [each.value for each in await read(member, 1)] == [b"2"]
                await log.ping()
            finally:
                await member.stop()


async def _start(member: GroupSubscription) -> None:
    """Start a member. Brokers know of a new right only after a moment, so this retries."""

    async def started() -> bool:
        try:
            await member.start()
        except StartupError:
            return False
        return True

    await eventually(started, 20, "it may join")
