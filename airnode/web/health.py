"""The endpoints for health, readiness and metrics, the same for all roles."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

import airnode
from airnode.web.inputs import json_response
from airnode.web.openapi import operation


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One line of ``/health``.

    Attributes:
        check: raises when something is wrong; the error's text is shown. A returned string is shown as a remark.
        ok: whether it succeeded. detail: a remark, or why it failed.
        critical: readiness is 503 while it fails; otherwise the status is only ``degraded``.
        while_starting: it also runs while the node starts, and reports what the node waits for.
        meanwhile: {role: what does not work while it fails}, as sentences.
    """

    name: str
    check: Callable[[], Awaitable[str | None]]
    timeout_s: float = 2.0
    critical: bool = True
    while_starting: bool = False
    meanwhile: Mapping[str, str] = field(default_factory=dict)


class CheckResult(msgspec.Struct):
    """One check.

    Attributes:
        ok: whether it succeeded. detail: a remark, or why it failed.
        critical: readiness is 503 while it fails; otherwise the status is only ``degraded``.
        meanwhile: {role: what does not work while the check fails}, as sentences; null while it does not fail.
    """

    ok: bool
    critical: bool
    duration_ms: float
    detail: str | None = None
    meanwhile: dict[str, str] | None = None


class Health(msgspec.Struct):
    """The state of this node and of what it depends on.

    Attributes:
        status: ``healthy``, ``degraded``, ``unhealthy``, or the phase of a node that starts or stops.
        checks: {name: result}.
    """

    status: str
    role: str
    node_id: str
    node_name: str
    version: str
    uptime_s: float
    phase: str
    checks: dict[str, CheckResult]


@dataclass(frozen=True, slots=True)
class Identity:
    """The id and the name of this node."""

    node_id: str
    node_name: str
    roles: tuple[str, ...]


class HealthEndpoints:
    """``/health``, ``/health/liveness``, ``/health/readiness`` and ``/metrics``.

    Args:
        phase: the node's phase: ``starting``, ``ready``, ``draining`` or ``stopping``.
    """

    def __init__(
        self,
        identity: Identity,
        checks: Sequence[HealthCheck],
        phase: Callable[[], str],
        registry: CollectorRegistry,
    ) -> None:
        self._identity = identity
        self._checks = checks
        self._phase = phase
        self._registry = registry
        self._started_s = time.monotonic()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/health", self.health)
        app.router.add_get("/health/liveness", self.liveness)
        app.router.add_get("/health/readiness", self.readiness)
        app.router.add_get("/metrics", self.metrics)

    @operation(summary="State of this node and of what it depends on", tag="health", returns=Health, errors=(503,))
    async def health(self, request: web.Request) -> web.Response:
        """Return 200 while no critical check fails, else 503."""
        report = await self.report()
        return json_response(report, status=503 if report.status == "unhealthy" else 200)

    @operation(summary="Liveness: whether the process answers", tag="health", returns="text/plain")
    async def liveness(self, request: web.Request) -> web.Response:
        """Return 200 always: an answer proves that the event loop runs."""
        return web.Response(text="alive\n")

    @operation(summary="Readiness: whether traffic may come here", tag="health", returns="text/plain", errors=(503,))
    async def readiness(self, request: web.Request) -> web.Response:
        """Return 200 when ready, also while a check fails that is not critical: the text then says ``degraded``. Return
        503 while starting, draining or when a critical check fails.
        """
        phase = self._phase()
        if phase != "ready":
            return web.Response(text=f"{phase}\n", status=503)
        report = await self.report()
        failing = [name for name, result in report.checks.items() if result.critical and not result.ok]
        if failing:
            return web.Response(text=f"failing: {', '.join(failing)}\n", status=503)
        degraded = [name for name, result in report.checks.items() if not result.ok]
        return web.Response(text=f"degraded: {', '.join(degraded)}\n" if degraded else "ready\n")

    @operation(summary="Prometheus metrics", tag="health", returns="text/plain")
    async def metrics(self, request: web.Request) -> web.Response:
        """Return all metrics of this process."""
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def report(self) -> Health:
        """Return the results of all checks; they run at the same time, each with its own timeout."""
        phase = self._phase()
        checks = [check for check in self._checks if phase != "starting" or check.while_starting]
        done = await asyncio.gather(*(_run(check) for check in checks))
        results = {check.name: result for check, result in zip(checks, done, strict=True)}
        failed = [result for result in results.values() if not result.ok]
        if phase != "ready":
            status = phase
        elif any(result.critical for result in failed):
            status = "unhealthy"
        else:
            status = "degraded" if failed else "healthy"
        return Health(
            status=status,
            role=",".join(self._identity.roles),
            node_id=self._identity.node_id,
            node_name=self._identity.node_name,
            version=airnode.__version__,
            uptime_s=round(time.monotonic() - self._started_s, 1),
            phase=phase,
            checks=results,
        )


async def _run(check: HealthCheck) -> CheckResult:
    started_s = time.perf_counter()
    ok, detail = True, None
    try:
        async with asyncio.timeout(check.timeout_s):
            detail = await check.check()
    except TimeoutError:
        ok, detail = False, f"no answer within {check.timeout_s:g} s"
    except Exception as error:  # noqa: BLE001 - any error is the result of the check
        ok, detail = False, str(error) or type(error).__name__
    meanwhile = None if ok or not check.meanwhile else dict(check.meanwhile)
    return CheckResult(ok, check.critical, round((time.perf_counter() - started_s) * 1000, 2), detail, meanwhile)
