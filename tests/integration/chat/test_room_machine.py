"""A room over three nodes while people join, talk, lose their connections and nodes die, in any order (hypothesis)."""

import asyncio
import contextlib
import itertools
from functools import partial

import aiohttp
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.support.chat_rooms import ChatRig, RoomClient
from tests.support.waiting import eventually

_numbers = itertools.count()
NODES, PEOPLE = 3, 5
FAST = {"send_rate_per_s": 1e6, "send_burst": 1_000_000, "event_rate_per_s": 1e6, "event_burst": 1_000_000}


class Person:
    """One person's client, what it must get, and whether it is connected."""

    def __init__(self, client: RoomClient, node: int, joined_at: int, epoch: str) -> None:
        self.client = client
        self.node: int | None = node
        self.joined_at = joined_at
        self.epoch = epoch

    def has(self, count: int) -> bool:
        return len(self.client.texts) >= count


class RoomMachine(RuleBasedStateMachine):
    """What everybody got is compared with the log at the end: the same order, nothing lost, nothing twice."""

    redis_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.room = f"machine-{next(_numbers)}"
        self.nodes: list[ChatRig | None] = [None] * NODES
        self.people: dict[int, Person] = {}
        self.sent: list[str] = []

    def run(self, work):
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        async def work() -> None:
            self.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            for index in range(NODES):
                await self._start(index)

        self.run(work())

    async def _start(self, index: int) -> None:
        name = f"machine-node-{next(_numbers)}"
        self.nodes[index] = await ChatRig(self.redis_url, name, room_linger_s=0, **FAST).start()

    def _alive(self) -> list[int]:
        return [index for index, node in enumerate(self.nodes) if node is not None]

    def _connected(self) -> list[Person]:
        return [person for person in self.people.values() if person.node is not None]

    @rule(who=st.integers(0, PEOPLE - 1), where=st.integers(0, NODES - 1))
    def come(self, who: int, where: int) -> None:
        """Join, or come back after a lost connection, on any node."""
        alive = self._alive()
        node = alive[where % len(alive)]
        rig = self.nodes[node]
        assert rig is not None
        self.run(self._come(who, node, rig))

    async def _come(self, who: int, node: int, rig: ChatRig) -> None:
        person = self.people.get(who)
        if person is None:
            client = await RoomClient(self.http, rig.url, token=rig.token(f"u{who}", "student", self.room)).connect()
            answer = await client.ask("joinRoom", self.room)
            self.people[who] = Person(client, node, answer["offset"], answer["epoch"])
        elif person.node is None:
            await person.client.connect(rig.url)
            assert person.client.recovered
            person.node = node

    @precondition(lambda self: self._connected())
    @rule(count=st.integers(1, 4), drops=st.integers(0, 2))
    def talk(self, count: int, drops: int) -> None:
        """Everybody talks at the same time, and some lose their connections meanwhile."""
        people = self._connected()
        leaving, talking = people[:drops], people[drops:]

        async def one(person: Person) -> None:
            for _ in range(count):
                text = f"m{next(_numbers)}"
                self.sent.append(text)
                await person.client.ask("sendMessage", self.room, {"content": text, "client_id": text})

        async def drop(person: Person) -> None:
            await asyncio.sleep(0)
            await person.client.drop()
            person.node = None

        async def work() -> None:
            await asyncio.gather(*(one(person) for person in talking), *(drop(person) for person in leaving))

        self.run(work())

    @precondition(lambda self: len(self._alive()) > 1)
    @rule(which=st.integers(0, NODES - 1))
    def die(self, which: int) -> None:
        """A node dies: nothing is said to anybody."""
        alive = self._alive()
        index = alive[which % len(alive)]
        rig, self.nodes[index] = self.nodes[index], None
        assert rig is not None

        async def work() -> None:
            for person in self._connected():
                if person.node == index:
                    await person.client.drop()
                    person.node = None
            await rig.die()

        self.run(work())

    @precondition(lambda self: len(self._alive()) < NODES)
    @rule()
    def restart(self) -> None:
        self.run(self._start(self.nodes.index(None)))

    @rule()
    def cut_pubsub(self) -> None:
        """All nodes lose their pub/sub connections."""

        async def work() -> None:
            rig = self.nodes[self._alive()[0]]
            assert rig is not None
            await rig._bus.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

        self.run(work())

    def teardown(self) -> None:
        if hasattr(self, "http"):
            self.run(self._finish())
        self.runner.close()

    async def _finish(self) -> None:
        rig = self.nodes[self._alive()[0]]
        assert rig is not None
        try:
            for who in list(self.people):
                await self._come(who, self._alive()[0], rig)
            logged = [(entry.offset, entry.id) for entry in await rig.rooms.log.after(self.room, 0, 100_000)]
            assert len(logged) == len(self.sent)
            assert [offset for offset, _ in logged] == list(range(1, len(logged) + 1))
            for person in self.people.values():
                expected = [each for each in logged if each[0] > person.joined_at]
                with contextlib.suppress(AssertionError):
                    await eventually(partial(person.has, len(expected)), 10, "all messages")
                got = [(message["offset"], message["id"]) for message in person.client.got("message")]
                assert got == expected
        finally:
            for person in self._connected():
                await person.client.drop()
            for node in self.nodes:
                if node is not None:
                    await node.stop()
            await self.http.close()


@pytest.mark.timeout(300)
def test_everybody_gets_everything_once_and_in_one_order(valkey_url: str):
    class Machine(RoomMachine):
        redis_url = valkey_url

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=20, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
