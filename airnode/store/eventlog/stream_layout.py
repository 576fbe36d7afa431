"""Streams as partitions: names, and ids as offsets (milliseconds times 2**20, plus the number within them)."""

import contextlib
from collections.abc import Mapping

import msgspec

from airnode.store.eventlog.log import Delivered, Partition

_SEQUENCE_BITS = 20


def stream_key(partition: Partition) -> str:
    """The stream of a partition."""
    return f"airnode:log:{{{partition.topic}/{partition.number}}}"


def to_offset(stream_id: bytes) -> int:
    """``b"1763784000123-4"`` as one number."""
    milliseconds, _, sequence = stream_id.partition(b"-")
    return int(milliseconds) << _SEQUENCE_BITS | int(sequence or b"0")


def to_id(offset: int) -> str:
    """The other way."""
    return f"{offset >> _SEQUENCE_BITS}-{offset & ((1 << _SEQUENCE_BITS) - 1)}"


def delivered(partition: Partition, stream_id: bytes, fields: Mapping[bytes, bytes]) -> Delivered:
    """An entry of a stream as a record; headers that cannot be read are none."""
    headers: tuple[tuple[str, bytes], ...] = ()
    if packed := fields.get(b"h"):
        with contextlib.suppress(msgspec.DecodeError):
            headers = msgspec.msgpack.decode(packed, type=tuple[tuple[str, bytes], ...])
    return Delivered(
        partition,
        to_offset(stream_id),
        fields.get(b"k", b"").decode(errors="replace"),
        fields.get(b"v", b""),
        headers,
        int(stream_id.partition(b"-")[0]) / 1000,
    )
