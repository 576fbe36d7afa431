"""The bus against a real Valkey."""

import asyncio
import os
import signal
import socket

import pytest
from prometheus_client import CollectorRegistry
from redis import asyncio as aioredis
from structlog.testing import capture_logs

from airnode.bus import keys
from airnode.bus.leases import Leases
from airnode.bus.records import Records
from airnode.bus.subscription import QUEUE_MAX
from airnode.config.sections.embedded import EmbeddedSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.valkey import EmbeddedValkey
from airnode.errors import StartupError, TooLarge, Unavailable
from tests.support.bus import BusRig, Note, Other, until


class Inbox:
    """Collects the messages of a subscriber; a gap is None."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[object] = asyncio.Queue()

    async def take(self, message: object) -> None:
        self.queue.put_nowait(message)

    async def gap(self) -> None:
        self.queue.put_nowait(None)

    async def next(self) -> object:
        async with asyncio.timeout(20):
            return await self.queue.get()


@pytest.fixture
async def rig(valkey_url):
    rig = BusRig(valkey_url)
    await rig.bus.start()
    yield rig
    await rig.bus.stop()


@pytest.fixture
def bus(rig):
    return rig.bus


async def test_messages_arrive_in_order_at_all_subscribers_of_their_type(bus):
    notes, more_notes, others = Inbox(), Inbox(), Inbox()
    await bus.subscribe("room", Note, notes.take)
    await bus.subscribe("room", Note, more_notes.take, on_resubscribed=more_notes.gap)
    await bus.subscribe("room", Other, others.take, on_resubscribed=others.gap)
    await bus.subscribe("elsewhere", Note, notes.take)
    for n in range(20):
        assert await bus.publish("room", Note(str(n))) == 1
        assert await bus.publish("room", Other(n)) == 1
    assert await bus.publish("nobody", Note("?")) == 0
    for n in range(20):
        assert await notes.next() == await more_notes.next() == Note(str(n))
        assert await others.next() == Other(n)
    assert notes.queue.empty()


async def test_no_message_comes_between_two_types_that_are_subscribed_at_once(rig, bus):
    notes, others, first_note = Inbox(), Inbox(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:

        async def publish_until_received() -> None:
            while not first_note.is_set():
                await asyncio.gather(*(bus.publish("busy", Other(n)) for n in range(5)), bus.publish("busy", Note("a")))

        async def note(message: Note) -> None:
            first_note.set()
            await notes.take(message)

        publishing = tasks.create_task(publish_until_received())
        await bus.publish("busy", Other(0))
        await bus.subscribe_types("busy", {Note: note, Other: others.take}, on_resubscribed=notes.gap)
        await publishing
    assert await notes.next() == Note("a")
    assert isinstance(await others.next(), Other)
    assert rig.dropped("unknown_type") == 0


async def test_an_ended_subscription_receives_no_messages(bus):
    first, second = Inbox(), Inbox()
    ended = await bus.subscribe("room", Note, first.take)
    await bus.subscribe("room", Note, second.take)
    await bus.unsubscribe(ended)
    await bus.unsubscribe(ended)
    await bus.publish("room", Note("a"))
    assert await second.next() == Note("a")
    assert first.queue.empty()
    again = await bus.subscribe("solo", Note, first.take)
    await bus.unsubscribe(again)

    async def nobody_listens() -> bool:
        return await bus.publish("solo", Note("b")) == 0

    await until(nobody_listens)
    await bus.subscribe("solo", Note, first.take)
    await bus.publish("solo", Note("c"))
    assert await first.next() == Note("c")


async def test_invalid_messages_are_counted_and_logged_once(rig, bus):
    inbox = Inbox()
    await bus.subscribe("room", Note, inbox.take)
    bad = {
        "garbage": b"\x00\xff{",
        "unknown_version": b'{"v":9,"t":"Note","b":{}}',
        "unknown_type": b'{"v":1,"t":"Nope","b":{}}',
        "wrong_body": b'{"v":1,"t":"Note","b":{"text":1}}',
        "too_large": b" " * (300 << 10),
    }
    with capture_logs() as logs:
        for data in bad.values():
            for _ in range(3):
                await bus.client.publish(keys.channel("room"), data)
        await bus.publish("room", Note("good"))
        assert await inbox.next() == Note("good")
    assert {reason: rig.dropped(reason) for reason in bad} == dict.fromkeys(bad, 3.0)
    assert sorted(entry["reason"] for entry in logs if entry["event"] == "bus_message_dropped") == sorted(bad)


async def test_a_failing_handler_drops_only_that_message(rig, bus):
    inbox = Inbox()

    async def picky(note: Note) -> None:
        if note.text == "bad":
            raise ValueError(note.text)
        await inbox.take(note)

    await bus.subscribe("room", Note, picky)
    for text in ("bad", "good"):
        await bus.publish("room", Note(text))
    assert await inbox.next() == Note("good")
    assert rig.dropped("handler_failed") == 1


async def test_a_slow_handler_loses_messages_without_delaying_others(rig, bus):
    slow, quick = Inbox(), Inbox()
    gate = asyncio.Event()

    async def wait_at_the_gate(message: object) -> None:
        await gate.wait()
        await slow.take(message)

    await bus.subscribe("room", Other, wait_at_the_gate, on_resubscribed=slow.gap)
    await bus.subscribe("room", Other, quick.take)
    total = QUEUE_MAX + 50
    for n in range(total):
        await bus.publish("room", Other(n))
    for n in range(total):
        assert await quick.next() == Other(n)
    gate.set()
    kept = [await slow.next() for _ in range(QUEUE_MAX + 2)]
    assert kept == [*(Other(n) for n in range(QUEUE_MAX + 1)), None]
    assert rig.dropped("queue_full") == total - QUEUE_MAX - 1


async def test_too_large_messages_are_refused(bus):
    with pytest.raises(TooLarge):
        await bus.publish("room", Note("x" * (256 << 10)))


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
async def test_subscribers_recover_after_the_server_was_killed_and_learn_of_the_gap(tmp_path, signum):
    valkey = EmbeddedValkey(tmp_path, EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()))
    await valkey.start()
    rig = BusRig(valkey.url)
    inboxes = {name: Inbox() for name in ("a", "b")}
    try:
        await rig.bus.start()
        for name, inbox in inboxes.items():
            await rig.bus.subscribe(name, Note, inbox.take, on_resubscribed=inbox.gap)
            await rig.bus.publish(name, Note("before"))
            assert await inbox.next() == Note("before")
        await Records(rig.bus).set_record("t", "k", Note("kept"))
        os.kill(valkey.pid, signum)
        for name, inbox in inboxes.items():
            assert await inbox.next() is None
            await rig.bus.publish(name, Note("after"))
            assert await inbox.next() == Note("after")
            assert inbox.queue.empty()
        assert await Records(rig.bus).get_record("t", "k", Note) == Note("kept")
        assert rig.registry.get_sample_value("airnode_bus_resubscribed_total") == 1
        late = Inbox()
        await rig.bus.subscribe("late", Note, late.take)
        await rig.bus.publish("late", Note("x"))
        assert await late.next() == Note("x")
    finally:
        await rig.bus.stop()
        await valkey.stop()


async def test_a_cut_pubsub_connection_is_a_gap_too(bus):
    inbox = Inbox()
    await bus.subscribe("room", Note, inbox.take, on_resubscribed=inbox.gap)
    for _ in range(3):
        await bus.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert await inbox.next() is None
        await bus.publish("room", Note("after"))
        assert await inbox.next() == Note("after")


async def test_a_stopped_server_is_unavailable_until_it_starts_again(tmp_path):
    valkey = EmbeddedValkey(tmp_path, EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()))
    await valkey.start()
    rig = BusRig(valkey.url, connect_timeout_s=0.5)
    try:
        await rig.bus.start()
        await valkey.stop()
        with pytest.raises(Unavailable):
            await rig.bus.ping()
        with pytest.raises(Unavailable):
            await rig.bus.publish("room", Note("x"))
        with pytest.raises(Unavailable):
            await Leases(rig.bus).read_leases("nodes", Note)
        with pytest.raises(Unavailable):
            await rig.bus.subscribe("room", Note, Inbox().take)
        again = EmbeddedValkey(tmp_path, EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()))
        await again.start()
        await rig.bus.ping()
        await again.stop()
    finally:
        await rig.bus.stop()


async def test_the_error_for_a_missing_server_hides_the_password():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        rig = BusRig(f"redis://:geheim@127.0.0.1:{closed.getsockname()[1]}/0", connect_timeout_s=0.3)
        with pytest.raises(StartupError, match=r"Redis at 127\.0\.0\.1:\d+/0 did not answer within 0\.3 s") as caught:
            await rig.bus.start()
        assert "geheim" not in repr(caught.value) + caught.value.debug
        await rig.bus.stop()
        await rig.bus.stop()


async def test_an_invalid_url_is_refused():
    rig = BusRig("http://localhost:1")
    with pytest.raises(StartupError, match=r"redis\.url is not an address"):
        await rig.bus.start()
    await rig.bus.stop()


async def test_the_start_waits_for_a_server_that_starts_later(tmp_path):
    valkey = EmbeddedValkey(tmp_path, EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()))
    rig = BusRig(valkey.url, connect_timeout_s=20)
    waiting = asyncio.ensure_future(rig.bus.start())
    try:
        await asyncio.sleep(0)
        await valkey.start()
        await waiting
        await rig.bus.ping()
    finally:
        waiting.cancel()
        await rig.bus.stop()
        await valkey.stop()


async def test_a_wrong_password_is_refused_at_once_and_hidden(valkey_url):
    async with aioredis.from_url(valkey_url) as admin:
        await admin.execute_command("ACL", "SETUSER", "guarded", "on", ">right", "~*", "&*", "+@all")
        try:
            good = BusRig(valkey_url.replace("unix://", "unix://guarded@"), password="right")
            await good.bus.start()
            await good.bus.ping()
            await good.bus.stop()
            rig = BusRig(valkey_url.replace("unix://", "unix://guarded:geheim@"), connect_timeout_s=30)
            async with asyncio.timeout(10):
                with pytest.raises(StartupError, match="refuses") as caught:
                    await rig.bus.start()
            assert "geheim" not in str(caught.value)
            await rig.bus.stop()
            await admin.config_set("requirepass", "geheim")
            rig = BusRig(valkey_url, connect_timeout_s=30)
            async with asyncio.timeout(10):
                with pytest.raises(StartupError, match="refuses: Authentication required"):
                    await rig.bus.start()
            await rig.bus.stop()
        finally:
            await admin.config_set("requirepass", "")
            await admin.execute_command("ACL", "DELUSER", "guarded")
