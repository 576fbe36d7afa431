"""What workers say of themselves, for diagnosis: a lease of each in Redis."""

import os

import msgspec

from airnode.bus.leases import Leases
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.speech.engines.engine import EngineState
from airnode.speech.engines.local import LocalEngine
from airnode.speech.engines.remote import RemoteEngine

#: Group of the leases, by the node's id.
GROUP = "speech-workers"
_EVERY_S = 5.0
_LEASE_S = 16.0


class WorkerFacts(msgspec.Struct, frozen=True):
    """A worker and its machine.

    Attributes:
        processors: of its machine, as far as it may use them. free_memory_bytes: of its machine; 0: not known.
        trouble: why the last piece failed because of the engine; empty: it did not.
    """

    name: str
    engine: EngineState
    queues: tuple[str, ...]
    processors: int
    free_memory_bytes: int
    trouble: str = ""


class WorkerReporter(Service):
    """Renews the lease of this worker."""

    name = "worker-facts"

    def __init__(
        self,
        leases: Leases,
        engine: LocalEngine | RemoteEngine,
        *,
        node_id: str,
        worker_name: str,
        queues: tuple[str, ...],
        tasks: TaskScope,
    ) -> None:
        super().__init__()
        self._leases = leases
        self._engine = engine
        self._node_id = node_id
        self._worker_name = worker_name
        self._queues = queues
        self._tasks = tasks

    async def start(self) -> None:
        """Report, and go on with it."""
        await self._report()
        self._tasks.spawn("report", repeat_every(_EVERY_S, self._report, failed="worker_facts_not_reported"))

    async def stop(self) -> None:
        await self._tasks.aclose()

    async def _report(self) -> None:
        trouble = self._engine.trouble if isinstance(self._engine, LocalEngine) else ""
        facts = WorkerFacts(
            self._worker_name, self._engine.describe(), self._queues, processors(), free_memory_bytes(), trouble
        )
        await self._leases.put_lease(GROUP, self._node_id, facts, _LEASE_S)


def processors() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory_bytes() -> int:
    """Return the memory of this machine that programs can get without swapping; 0: not known."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found = next(line for line in file if line.startswith("MemAvailable:"))
        return int(found.split()[1]) << 10
    except (OSError, StopIteration, ValueError, IndexError):
        return 0
