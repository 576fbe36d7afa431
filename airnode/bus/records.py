"""Tables of records: typed hashes, such as the mirror of stream keys. The truth is elsewhere; this is quick to read."""

import uuid
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from airnode.bus import keys
from airnode.bus.client import Bus, unavailable
from airnode.bus.leases import encode_value

T = TypeVar("T", bound=msgspec.Struct)

_BATCH = 500
#: A half-built table that nobody finishes goes after this.
_UNFINISHED_TTL_S = 600


class Records:
    """Typed hashes on the bus. All methods raise ``Unavailable`` (503) when the server does not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def set_record(self, table: str, key: str, value: msgspec.Struct) -> None:
        """Write one record."""
        with unavailable():
            await self._bus.client.hset(keys.records(table), key, encode_value(value))

    async def get_record(self, table: str, key: str, kind: type[T]) -> T | None:
        """Read one record; None: there is none, or it is not of this type (counted and logged)."""
        with unavailable():
            data = await self._bus.client.hget(keys.records(table), key)
        return None if data is None else self._bus.decode_value(data, kind, f"record {table}")

    async def all_records(self, table: str, kind: type[T]) -> dict[str, T]:
        """Read the whole table; records that are not of this type are left out (counted and logged)."""
        with unavailable():
            data = await self._bus.client.hgetall(keys.records(table))
        found = {
            key.decode(errors="replace") if isinstance(key, bytes) else key: self._bus.decode_value(
                value, kind, f"record {table}"
            )
            for key, value in data.items()
        }
        return {key: value for key, value in found.items() if value is not None}

    async def drop_record(self, table: str, key: str) -> bool:
        """Remove one record; False when there was none."""
        with unavailable():
            return bool(await self._bus.client.hdel(keys.records(table), key))

    async def has_records(self, table: str) -> bool:
        """Whether there is such a table."""
        with unavailable():
            return bool(await self._bus.client.exists(keys.records(table)))

    async def replace_records(self, table: str, records: Mapping[str, msgspec.Struct]) -> None:
        """Put exactly these records in place of the table; readers see the old ones or the new ones, never a mix."""
        target, next_ = keys.records(table), keys.records_next(table, uuid.uuid4().hex)
        encoded = [(key, encode_value(value)) for key, value in records.items()]
        with unavailable():
            if not encoded:
                await self._bus.client.delete(target)
                return
            for start in range(0, len(encoded), _BATCH):
                await self._bus.client.hset(next_, mapping=dict(encoded[start : start + _BATCH]))
                await self._bus.client.expire(next_, _UNFINISHED_TTL_S)
            async with self._bus.client.pipeline(transaction=True) as swap:
                swap.rename(next_, target)
                swap.persist(target)
                await swap.execute()
