"""The pub/sub connection of a process."""

import asyncio
import contextlib
from typing import Any

import structlog
from redis import asyncio as aioredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from airnode.bus.envelope import Undecodable, decode
from airnode.bus.subscription import AnyChannelSubscription, BusMetrics, DropReport
from airnode.kernel.backoff import Backoff

log = structlog.get_logger(__name__)

_BACKOFF_FIRST_S = 0.05
_BACKOFF_LAST_S = 2.0
#: After this time without data a PING is sent, and the server has the same time to answer.
_SILENCE_S = 10.0


class PubSubListener:
    """Reads one connection, and passes messages to subscriptions. Reconnects with backoff when the connection is lost.

    redis-py's own ``PubSub`` reconnects silently inside a read, which hides missed messages. This class uses a
    plain connection with RESP2, and marks a gap in every subscription that existed before the reconnect.
    """

    def __init__(self, pool: aioredis.ConnectionPool, metrics: BusMetrics, drops: DropReport) -> None:
        self._pool = pool
        self._metrics = metrics
        self._drops = drops
        self._connection: AbstractConnection | None = None
        #: {channel: its subscriptions}. Owned by this class.
        self._channels: dict[str, list[AnyChannelSubscription]] = {}
        #: Channels that the server has confirmed on the current connection. Owned by this class.
        self._confirmed: set[str] = set()
        self._has_channels = asyncio.Event()

    async def add(self, *subscriptions: AnyChannelSubscription) -> None:
        """Add subscriptions, all to the same channel. Each one's ``ready`` is set when the server has confirmed it.

        All of them are registered before SUBSCRIBE is sent, so that every message finds the subscription of its type.
        """
        channel = subscriptions[0].channel
        registered = self._channels.setdefault(channel, [])
        is_new = not registered
        registered += subscriptions
        self._has_channels.set()
        if channel in self._confirmed:
            for subscription in subscriptions:
                subscription.ready.set()
        elif is_new:
            await self._send("SUBSCRIBE", channel)

    async def remove(self, subscription: AnyChannelSubscription) -> None:
        """Unsubscribe. Does nothing if the subscription has been removed already."""
        subscriptions = self._channels.get(subscription.channel, [])
        if subscription in subscriptions:
            subscriptions.remove(subscription)
            if not subscriptions:
                del self._channels[subscription.channel]
                self._confirmed.discard(subscription.channel)
                await self._send("UNSUBSCRIBE", subscription.channel)

    async def run(self) -> None:
        """Read messages and reconnect after losses, until cancelled."""
        pause_s = 0.0
        backoff, losses = Backoff(_BACKOFF_FIRST_S, _BACKOFF_LAST_S), 0
        while True:
            await self._has_channels.wait()
            try:
                await self._connect(again=losses > 0)
                backoff.reset()
                await self._read()
            except (RedisError, OSError, TimeoutError) as error:
                losses += 1
                pause_s = backoff.next_s()
                log.warning("bus_connection_lost", error=str(error), retry_in_s=round(pause_s, 3))
            finally:
                await self._disconnect()
            await asyncio.sleep(pause_s)

    async def _connect(self, *, again: bool) -> None:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()  # type: ignore[no-untyped-call]
        self._connection = connection
        if self._channels:
            await self._send("SUBSCRIBE", *self._channels)
        if again:
            self._metrics.resubscribed.inc()
            log.info("bus_connection_restored", channels=len(self._channels))

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._confirmed.clear()
        if connection is not None:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    async def _send(self, *command: str) -> None:
        """Send a command. Does nothing without a connection, because :meth:`_connect` subscribes to all channels."""
        connection = self._connection
        if connection is None or not connection.is_connected:
            return
        # The reader detects a failed write too, and reconnects.
        with contextlib.suppress(RedisError, OSError):
            await connection.send_packed_command(connection.pack_command(*command), check_health=False)

    async def _read(self) -> None:
        connection, pinged = self._connection, False
        if connection is None:
            return
        while True:
            answer = await connection.read_response(timeout=_SILENCE_S, disconnect_on_error=False)
            if answer is not None:
                pinged = False
                self._handle(answer)
            elif pinged:
                raise TimeoutError(f"no sign of life for {2 * _SILENCE_S:g} s")
            else:
                pinged = True
                await self._send("PING")

    def _handle(self, answer: Any) -> None:
        match answer:
            case [b"message", bytes(name), bytes(data)]:
                self._dispatch(name.decode(errors="replace"), data)
            case [b"subscribe", bytes(name), int()]:
                self._confirm(name.decode(errors="replace"))

    def _confirm(self, channel: str) -> None:
        if channel not in self._channels:
            return  # unsubscribed in the meantime
        self._confirmed.add(channel)
        for subscription in self._channels[channel]:
            if subscription.ready.is_set():  # it existed before: this is a new connection
                subscription.mark_gap()
            subscription.ready.set()

    def _dispatch(self, channel: str, data: bytes) -> None:
        try:
            envelope = decode(data)
            receivers = [s for s in self._channels.get(channel, ()) if s.type_name == envelope.t]
            if not receivers and channel in self._channels:
                raise Undecodable("unknown_type", envelope.t[:100])
            for subscription in receivers:
                subscription.offer(envelope)
        except Undecodable as error:
            self._drops.count(error.reason, channel, str(error))
