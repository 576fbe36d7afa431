"""The buffer between fetching and writing."""

from hypothesis import given
from hypothesis import strategies as st

from airnode.pipeline.consume.buffer import Buffer
from airnode.store.eventlog.log import Delivered, Partition

_PARTITIONS = [Partition("orders", number) for number in range(3)]
_ROOM = 1 << 40


def records(partition: Partition, first: int, sizes: list[int]) -> list[Delivered]:
    return [Delivered(partition, first + at, "", b"x" * size, (), 0.0) for at, size in enumerate(sizes)]


def test_a_full_buffer_has_room_again_once_half_is_taken():
    buffer = Buffer(10, _ROOM)
    buffer.add(records(_PARTITIONS[0], 0, [1] * 9))
    assert not buffer.full
    buffer.add(records(_PARTITIONS[0], 9, [1]))
    assert buffer.full
    buffer.take(5)
    assert buffer.full
    buffer.take(1)
    assert not buffer.full


def test_few_large_records_fill_it_too():
    buffer = Buffer(1000, 1000)
    buffer.add(records(_PARTITIONS[0], 0, [400, 400, 199]))
    assert not buffer.full
    buffer.add(records(_PARTITIONS[1], 0, [1]))
    assert buffer.full
    buffer.forget(_PARTITIONS[:1])
    assert not buffer.full


@given(st.lists(st.tuples(st.sampled_from(_PARTITIONS), st.lists(st.integers(0, 9), max_size=9)), max_size=20))
def test_each_partition_is_taken_in_order_and_none_waits_for_another(added: list[tuple[Partition, list[int]]]):
    buffer, ends = Buffer(50, _ROOM), dict.fromkeys(_PARTITIONS, 0)
    for partition, sizes in added:
        buffer.add(records(partition, ends[partition], sizes))
        ends[partition] += len(sizes)
    assert len(buffer) == sum(ends.values())
    taken: dict[Partition, list[int]] = {partition: [] for partition in _PARTITIONS}
    while len(buffer):
        batch = buffer.take(7)
        for record in batch.records:
            taken[record.partition].append(record.offset)
        for partition, position in batch.positions.items():
            assert taken[partition][-1] == position - 1
    assert taken == {partition: list(range(end)) for partition, end in ends.items()}
    assert not buffer.full
