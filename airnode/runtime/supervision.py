"""Starts, drains and stops single services. A service that fails does not keep the others from stopping."""

import asyncio
import time
from collections.abc import Awaitable

import structlog

from airnode.errors import AirnodeError
from airnode.kernel.service import Service, State

log = structlog.get_logger(__name__)


async def start_service(service: Service) -> None:
    """Start the service. Its errors are raised."""
    service.state = State.STARTING
    try:
        await service.start()
    except BaseException:
        service.state = State.FAILED
        raise
    service.state = State.RUNNING


async def drain_service(service: Service, delay_s: float, timeout_s: float) -> None:
    """Announce the drain, wait ``delay_s``, drain for up to ``timeout_s``. Failures are logged."""
    service.state = State.DRAINING
    began_s = time.monotonic()
    await _guarded(service, "announce_drain", asyncio.wait_for(service.announce_drain(), timeout_s))
    await asyncio.sleep(delay_s - (time.monotonic() - began_s))
    await _guarded(service, "drain", asyncio.wait_for(service.drain(), timeout_s))


async def stop_service(service: Service) -> None:
    """Stop the service. Failures are logged."""
    await _guarded(service, "stop", service.stop())
    service.state = State.STOPPED


async def _guarded(service: Service, during: str, action: Awaitable[None]) -> None:
    try:
        await action
    except TimeoutError:
        log.warning("service_drain_timed_out", service=service.name)
    except AirnodeError as error:
        log.error("service_failed", service=service.name, during=during, error=str(error))
    except Exception as error:  # the service supervisor's boundary
        log.error("service_failed", service=service.name, during=during, exc_info=error)
