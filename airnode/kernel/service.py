"""A service: something that starts, runs, drains and stops."""

import enum


class State(enum.StrEnum):
    """The states of a service; :class:`Service` shows the transitions."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


class Service:
    """Base of all services. The node starts and stops it; a service never does that itself.

    ::

        NEW ──▶ STARTING ──▶ RUNNING ──▶ DRAINING ──▶ STOPPED
                   │            │            │
                   └────────────┴────────────┴──────▶ FAILED

    ``start`` raises and never exits. ``stop`` works after a failed ``start`` and when called twice.
    """

    name: str = "service"

    def __init__(self) -> None:
        self.state = State.NEW

    async def start(self) -> None:
        """Start the service, and return once it runs."""

    async def announce_drain(self) -> None:
        """Publish that this node is about to stop. Called at once, before ``drain.delay_s`` and :meth:`drain`."""

    async def drain(self) -> None:
        """Accept no new work, and wait for the open work. It is cancelled after ``drain.timeout_s``."""

    async def stop(self) -> None:
        """Release the service's resources: tasks, sockets, files."""
