"""A service: something that starts, runs, drains and stops."""

import enum


class State(enum.StrEnum):
    """Where a service is in its life; the diagram stands in :class:`Service`."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


class Service:
    """Base of all services. The node drives it; a service never starts or stops itself.

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
        """Make it run; returns once it does."""

    async def announce_drain(self) -> None:
        """Say elsewhere that this node is about to go, at once: before ``drain.delay_s`` and :meth:`drain`."""

    async def drain(self) -> None:
        """Take no new work and wait for the open work; cancelled when the time for it is over."""

    async def stop(self) -> None:
        """Give everything back."""
