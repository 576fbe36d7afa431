"""Keeps the locks of the jobs that this process works, in a thread of its own.

The event loop of a worker may stand still for seconds (a library is imported, the machine is busy). Its locks live
shorter than that, so that the jobs of a killed worker are soon worked by another one.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, cast

import redis
import structlog

from airnode.bus.jobs import keys
from airnode.bus.jobs.records import JobRef
from airnode.bus.jobs.scripts import RENEW

log = structlog.get_logger(__name__)

_JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class HeldLock:
    """The lock of a job. ``started`` is how often the job was taken; it tells attempts apart."""

    ref: JobRef
    token: str
    started: str


class LockKeeper:
    """Renews locks, and reports jobs that were cancelled, or whose lock is lost.

    Args:
        connect: makes the thread's client.
        lock_s: how long a lock lives. It is renewed four times as often.
        hung_s: the locks are given up when :meth:`beat` was not called for this long.
        on_lost, on_cancelled: called on the event loop.
    """

    def __init__(
        self,
        connect: Callable[[], redis.Redis],
        *,
        lock_s: float,
        hung_s: float,
        on_lost: Callable[[JobRef], None],
        on_cancelled: Callable[[JobRef], None],
    ) -> None:
        self._connect = connect
        self._lock_s = lock_s
        self._hung_s = hung_s
        self._on_lost = on_lost
        self._on_cancelled = on_cancelled
        self._stopped = threading.Event()
        self._guard = threading.Lock()
        #: {job: its lock}. Written by the loop, read by the thread.
        self._held: dict[JobRef, HeldLock] = {}
        self._beat_s = time.monotonic()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        #: The newest renewal failed, because Redis did not answer.
        self.behind = False

    def start(self) -> None:
        """Start the thread."""
        self._loop = asyncio.get_running_loop()
        self.beat()
        self._thread = threading.Thread(target=self._run, name="job-locks", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End the thread. The locks that are left expire."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.join, _JOIN_S)

    def beat(self) -> None:
        """Tell the thread that the event loop runs."""
        self._beat_s = time.monotonic()

    def hold(self, lock: HeldLock) -> None:
        """Renew this lock from now on."""
        with self._guard:
            self._held[lock.ref] = lock

    def release(self, lock: HeldLock) -> None:
        """Stop renewing this lock."""
        with self._guard:
            if self._held.get(lock.ref) == lock:
                del self._held[lock.ref]

    def _run(self) -> None:
        client = self._connect()
        try:
            hung = False
            while not self._stopped.wait(self._lock_s / 4):
                was_hung, hung = hung, time.monotonic() - self._beat_s > self._hung_s
                if hung:
                    if not was_hung:
                        log.error("job_locks_given_up", detail="the event loop stands still", after_s=self._hung_s)
                    continue
                self._renew_all(client)
        finally:
            client.close()

    def _renew_all(self, client: redis.Redis) -> None:
        with self._guard:
            held = sorted(self._held.values(), key=attrgetter("ref.queue"))
        try:
            for queue, locks in groupby(held, key=attrgetter("ref.queue")):
                self._renew(client, queue, list(locks))
            self.behind = False
        except (redis.RedisError, OSError) as error:
            if not self.behind:
                log.warning("job_locks_not_renewed", error=str(error), detail="trying on")
            self.behind = True

    def _renew(self, client: redis.Redis, queue: str, locks: list[HeldLock]) -> None:
        arguments = chain.from_iterable((lock.ref.id, lock.token, lock.started) for lock in locks)
        places = (keys.of_queue(queue, "stalled"), keys.of_queue(queue, "active"))
        answer = client.eval(
            RENEW, len(places), *places, keys.of_queue(queue, ""), str(round(self._lock_s * 1000)), *arguments
        )
        lost, cancelled = cast(tuple[list[str], list[str]], answer)
        self._tell(self._on_lost, [lock for lock in locks if lock.ref.id in lost])
        self._tell(self._on_cancelled, [lock for lock in locks if lock.ref.id in cancelled])

    def _tell(self, listener: Callable[[JobRef], Any], locks: Iterable[HeldLock]) -> None:
        for lock in locks:
            with self._guard:
                current = self._held.get(lock.ref) == lock
            if current and self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(listener, lock.ref)
