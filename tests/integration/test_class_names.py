"""Numbers for people of one name, against a real Valkey."""

import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airnode.bus.class_names import ClassNames
from tests.support.bus import BusRig

_rooms = itertools.count()


@pytest.fixture
async def rig(valkey_url: str) -> AsyncIterator[BusRig]:
    made = BusRig(valkey_url)
    await made.bus.start()
    yield made
    await made.bus.stop()


async def test_a_number_is_free_again_when_its_owner_takes_another_name(rig: BusRig):
    names, room = ClassNames(rig.bus, keep_s=600, max_names=100), f"names-{next(_rooms)}"
    assert [await names.number(room, user, "mina") for user in "abcd"] == [1, 2, 3, 4]
    assert await names.number(room, "b", "jun") == 1
    assert await names.number(room, "a", "mina") == 1
    assert [await names.number(room, user, "mina") for user in "ef"] == [2, 5]
    assert await names.number(room, "a", "jun") == 2
    assert await names.number(room, "g", "mina") == 1


async def test_a_teachers_name_is_taken_for_students_who_do_not_have_it_yet(rig: BusRig):
    names, room = ClassNames(rig.bus, keep_s=600, max_names=100), f"names-{next(_rooms)}"
    assert await names.number(room, "a", "kim") == 1
    assert await names.number(room, "t", "kim", teacher=True) == 1
    assert await names.number(room, "a", "kim") == 1
    assert await names.number(room, "b", "kim") == 0
    assert await names.number(f"{room}-other", "b", "kim") == 1


async def test_teachers_of_one_name_are_told_apart_and_keep_it_from_students(rig: BusRig):
    names, room = ClassNames(rig.bus, keep_s=600, max_names=100), f"names-{next(_rooms)}"
    assert [await names.number(room, each, "kim", teacher=True) for each in ("t", "u", "t", "u")] == [1, 2, 1, 2]
    assert await names.number(room, "a", "kim") == 0
    assert await names.number(room, "t", "park", teacher=True) == 1
    assert await names.number(room, "a", "kim") == 0
    assert await names.number(room, "v", "kim", teacher=True) == 1
    for each in ("u", "v"):
        await names.number(room, each, "lee", teacher=True)
    assert await names.number(room, "a", "kim") == 1


async def test_a_teacher_keeps_the_name_however_many_students_come(rig: BusRig):
    names, room = ClassNames(rig.bus, keep_s=600, max_names=3), f"names-{next(_rooms)}"
    assert await names.number(room, "t", "kim", teacher=True) == 1
    for each in "abcde":
        await names.number(room, each, f"student {each}")
    assert await names.number(room, "f", "kim") == 0


async def test_the_names_of_a_class_are_bounded_and_expire(rig: BusRig):
    names, room = ClassNames(rig.bus, keep_s=600, max_names=3), f"names-{next(_rooms)}"
    assert [await names.number(room, user, "mina") for user in "abc"] == [1, 2, 3]
    assert await names.number(room, "d", "mina") == 1
    assert await names.number(room, "a", "mina") == 2
    brief = ClassNames(rig.bus, keep_s=0.001, max_names=3)
    await brief.number(f"{room}-brief", "a", "mina")
    keys = [key async for key in rig.bus.client.scan_iter(f"airnode:names:{{{room}-brief}}:*")]
    assert all([await rig.bus.client.pttl(key) <= 1 for key in keys])


async def test_whatever_people_do_nobody_shares_a_name(rig: BusRig):
    steps = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["mina", "jun"])), max_size=30)

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps)
    def collect(each: list[tuple[str, str]]) -> None:
        found.append(each)

    found: list[list[tuple[str, str]]] = []
    collect()
    for each in found:
        names, room = ClassNames(rig.bus, keep_s=600, max_names=100), f"names-{next(_rooms)}"
        held: dict[str, tuple[str, int]] = {}
        for user, look in each:
            before = held.pop(user, None)
            number = await names.number(room, user, look)
            assert (look, number) not in held.values()
            if before is not None and before[0] == look:
                assert number == before[1]
            held[user] = (look, number)
