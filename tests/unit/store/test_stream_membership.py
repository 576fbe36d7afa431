"""The assignment of partitions to members."""

from hypothesis import given
from hypothesis import strategies as st

from airnode.store.eventlog.log import Partition
from airnode.store.eventlog.stream_membership import assign_partitions

PARTS = [Partition("orders", number) for number in range(3)] + [Partition("users", number) for number in range(3)]
BOTH = ("orders", "users")


def owned(assignment: dict[Partition, str], member: str) -> set[Partition]:
    return {partition for partition, owner in assignment.items() if owner == member}


def test_one_member_owns_all_partitions_of_its_topics():
    assert owned(assign_partitions(PARTS, {"a": BOTH}, {}), "a") == set(PARTS)
    assert owned(assign_partitions(PARTS, {"a": ("users",)}, {}), "a") == set(PARTS[3:])
    assert assign_partitions(PARTS, {}, {}) == {}


def test_a_second_member_takes_half_and_the_other_half_stays():
    before = assign_partitions(PARTS, {"b": BOTH}, {})
    after = assign_partitions(PARTS, {"a": BOTH, "b": BOTH}, before)
    assert len(owned(after, "a")) == len(owned(after, "b")) == 3
    assert owned(after, "b") <= owned(before, "b")


def test_only_the_partitions_of_a_dead_member_move():
    before = assign_partitions(PARTS, {"a": BOTH, "b": BOTH, "c": BOTH}, {})
    after = assign_partitions(PARTS, {"a": BOTH, "c": BOTH}, before)
    for member in "ac":
        assert owned(before, member) <= owned(after, member)
        assert len(owned(after, member)) == 3


names = st.text("abcdef", min_size=1, max_size=2)
groups = st.dictionaries(names, st.lists(st.sampled_from(BOTH), min_size=1, unique=True), max_size=8)


@given(groups, st.dictionaries(st.sampled_from(PARTS), names))
def test_assignments_are_complete_even_and_stable(members: dict[str, list[str]], owners: dict[Partition, str]):
    assignment = assign_partitions(PARTS, members, owners)
    read = {topic for topics in members.values() for topic in topics}
    assert set(assignment) == {partition for partition in PARTS if partition.topic in read}
    assert all(partition.topic in members[member] for partition, member in assignment.items())
    counts = {member: len(owned(assignment, member)) for member in members}
    for partition, owner in assignment.items():
        able = [member for member, topics in members.items() if partition.topic in topics]
        assert counts[owner] - min(counts[member] for member in able) <= 1
    assert assign_partitions(PARTS, members, assignment) == assignment
