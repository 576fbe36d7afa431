"""The cluster's data about its nodes in Redis: leases, last heartbeats, and orders of admins.

Each heartbeat renews the node's lease. The record of the last heartbeat outlives the lease, so that a dead node can be
shown. An order outlives both: a node that an admin removed does not come back with its next heartbeat, but only when it
joins again.
"""

from typing import cast

from airnode.bus import keys
from airnode.bus.client import Bus, unavailable
from airnode.bus.leases import PUT, Leases, encode_value
from airnode.bus.messages import NODES, NodeLeft, NodeOrder, NodeOrdered, NodeRecord
from airnode.errors import NotFound

# Keys: leases' values, leases' ends, records, orders. Arguments: node_id, record, milliseconds.
_BEAT = (
    """
local order = redis.call('HGET', KEYS[4], ARGV[1]) or ''
if order == 'removed' then return order end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
"""
    + PUT
    + "return order"
)
_REMOVE = """
local known = redis.call('HDEL', KEYS[1], ARGV[1]) + redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if known > 0 then redis.call('HSET', KEYS[4], ARGV[1], 'removed') end
return known
"""


class NodeRegistry:
    """Leases, records and orders of nodes. All methods raise ``Unavailable`` (503) when Redis does not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._leases = Leases(bus)
        self._keys = (keys.lease_values(NODES), keys.lease_ends(NODES), keys.records(NODES), keys.node_orders())

    async def beat(self, record: NodeRecord, lease_s: float) -> NodeOrder:
        """Renew a node's lease, publish its heartbeat, and return its order. A removed node only gets its order."""
        arguments = (record.node_id, encode_value(record), round(lease_s * 1000))
        with unavailable():
            order = await self._bus.client.eval(_BEAT, 4, *self._keys, *arguments)
        if order != b"removed":
            await self._bus.publish(NODES, record)
        return cast(NodeOrder, order.decode())

    async def leave(self, node_id: str) -> None:
        """Drop the lease and the record of a node that stops."""
        await self._leases.drop_lease(NODES, node_id)
        await self.forget([node_id])
        await self._bus.publish(NODES, NodeLeft(node_id))

    async def clear_orders(self, node_id: str) -> None:
        """Clear the orders of a node that joins."""
        await self._order(node_id, "")

    async def drain(self, node_id: str, *, on: bool) -> None:
        """Order a node to take no new viewers, or to take them again. NotFound (404): no such node."""
        with unavailable():
            known = await self._bus.client.hexists(keys.records(NODES), node_id)
        if not known:
            raise NotFound(f"There is no node {node_id!r}.")
        await self._order(node_id, "drain" if on else "")

    async def remove(self, node_id: str) -> None:
        """Take a node out of the cluster until it registers again. NotFound (404): no such node."""
        with unavailable():
            known = await self._bus.client.eval(_REMOVE, 4, *self._keys, node_id)
        if not known:
            raise NotFound(f"There is no node {node_id!r}.")
        await self._bus.publish(NODES, NodeOrdered(node_id, "removed"))

    async def leased(self) -> dict[str, NodeRecord]:
        """Return {node_id: its record}, for nodes with a lease."""
        return await self._leases.read_leases(NODES, NodeRecord)

    async def records_and_orders(self) -> tuple[dict[str, NodeRecord], dict[str, NodeOrder]]:
        """Return {node_id: its last heartbeat}, also for nodes whose lease ended, and {node_id: its order}."""
        with unavailable():
            pipeline = self._bus.client.pipeline(transaction=False)
            pipeline.hgetall(keys.records(NODES))
            pipeline.hgetall(keys.node_orders())
            found, orders = await pipeline.execute()
        records = {name: self._bus.decode_value(data, NodeRecord, "record nodes") for name, data in found.items()}
        return (
            {name.decode(): record for name, record in records.items() if record is not None},
            {name.decode(): cast(NodeOrder, order.decode()) for name, order in orders.items()},
        )

    async def forget(self, node_ids: list[str]) -> None:
        """Drop the records and the orders of nodes that left long ago."""
        with unavailable():
            async with self._bus.client.pipeline(transaction=True) as both:
                both.hdel(keys.records(NODES), *node_ids)
                both.hdel(keys.node_orders(), *node_ids)
                await both.execute()

    async def _order(self, node_id: str, order: NodeOrder) -> None:
        with unavailable():
            if order:
                await self._bus.client.hset(keys.node_orders(), node_id, order)
            else:
                await self._bus.client.hdel(keys.node_orders(), node_id)
        await self._bus.publish(NODES, NodeOrdered(node_id, order))
