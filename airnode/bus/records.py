"""Tables of records: typed Redis hashes. They are copies; the originals are in PostgreSQL or in files."""

import uuid
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from airnode.bus import keys
from airnode.bus.client import Bus, unavailable
from airnode.bus.leases import encode_value

T = TypeVar("T", bound=msgspec.Struct)

_BATCH = 500
#: An unfinished table expires after this time.
_UNFINISHED_TTL_S = 600


#: KEYS: table. ARGV: key of the record, its value.
_DROP_IF = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
"""


class Records:
    """Typed hashes on the bus. All methods raise ``Unavailable`` (503) when the server does not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def set_record(self, table: str, key: str, value: msgspec.Struct) -> None:
        with unavailable():
            await self._bus.client.hset(keys.records(table), key, encode_value(value))

    async def add_record(self, table: str, key: str, value: msgspec.Struct) -> bool:
        """Add a record unless there is one; return whether it was added."""
        with unavailable():
            return bool(await self._bus.client.hsetnx(keys.records(table), key, encode_value(value)))

    async def get_record(self, table: str, key: str, kind: type[T]) -> T | None:
        """Return one record; None if there is none, or if it is not of this type (counted and logged)."""
        with unavailable():
            data = await self._bus.client.hget(keys.records(table), key)
        return None if data is None else self._bus.decode_value(data, kind, f"record {table}")

    async def all_records(self, table: str, kind: type[T]) -> dict[str, T]:
        """Return all records, {key: record}; without records that are not of this type (counted and logged)."""
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
        """Remove one record; return False if there was none."""
        with unavailable():
            return bool(await self._bus.client.hdel(keys.records(table), key))

    async def drop_record_if(self, table: str, key: str, value: msgspec.Struct) -> bool:
        """Remove one record if it still has this value; return whether it had."""
        with unavailable():
            found = self._bus.client.eval(_DROP_IF, 1, keys.records(table), key, encode_value(value))
            return bool(await found)

    async def has_records(self, table: str) -> bool:
        """Return whether the table exists."""
        with unavailable():
            return bool(await self._bus.client.exists(keys.records(table)))

    async def replace_records(self, table: str, records: Mapping[str, msgspec.Struct]) -> None:
        """Replace the whole table. Readers see the old records or the new ones, never a mixture."""
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
