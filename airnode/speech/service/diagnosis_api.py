"""``GET /api/diagnose``: what transcribes here, and whether it works."""

import asyncio
from importlib.metadata import PackageNotFoundError, version

import msgspec
from aiohttp import web

from airnode.bus.leases import Leases
from airnode.config.sections.speech import SpeechSection
from airnode.speech.service.callers import Callers
from airnode.speech.service.refusals import localized
from airnode.speech.service.selftest import SelfTest, SelfTestResult
from airnode.speech.service.worker_facts import GROUP, WorkerFacts, free_memory_bytes, processors
from airnode.web.inputs import json_response
from airnode.web.openapi import operation

_LIBRARIES = ("av", "bullmq", "ctranslate2", "faster-whisper", "onnxruntime")


class DiagnosedWorker(msgspec.Struct, rename="camel"):
    """A worker that is alive.

    Attributes:
        device, compute_type: empty: not loaded yet, or remote. threads: pieces at once, one thread each.
        engine_memory, free_memory: bytes, of the engine's process and of the machine; 0: not known.
        libraries: {name: version}, once the model is loaded.
        trouble: why the last piece failed because of the engine; empty: it did not.
    """

    name: str
    engine: str
    model: str
    device: str
    compute_type: str
    loaded: bool
    threads: int
    processors: int
    queues: list[str]
    engine_memory: int
    free_memory: int
    libraries: dict[str, str]
    trouble: str


class Diagnosis(msgspec.Struct, rename="camel"):
    """What transcribes, and whether it works.

    Attributes:
        status: `ok` or `failed`, as the self-test went.
        engine, model: as configured on this master; workers can have others.
        processors, free_memory: of this master's machine; bytes.
        libraries: {name: version} on this master; empty: not installed.
    """

    status: str
    engine: str
    model: str
    processors: int
    free_memory: int
    libraries: dict[str, str]
    workers: list[DiagnosedWorker]
    self_test: SelfTestResult


class DiagnosisApi:
    """The handler."""

    def __init__(self, callers: Callers, leases: Leases, test: SelfTest, section: SpeechSection) -> None:
        self._callers = callers
        self._leases = leases
        self._test = test
        self._section = section

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/diagnose", self.diagnose)

    @operation(
        summary="Diagnose transcribing",
        tag="transcripts",
        description="Engine, model, memory, libraries, workers, and a self-test: a worker transcribes two seconds of "
        "speech. It may take as long as loading the model.",
        returns=Diagnosis,
        errors=(401, 403, 429, 503),
        auth="teacher",
    )
    @localized
    async def diagnose(self, request: web.Request) -> web.StreamResponse:
        """Return the diagnosis."""
        await self._callers.identify(request)
        result = await self._test.run()
        facts = await self._leases.read_leases(GROUP, WorkerFacts)
        found = Diagnosis(
            "ok" if result.ok else "failed",
            self._section.engine,
            self._section.model,
            processors(),
            await asyncio.to_thread(free_memory_bytes),
            await asyncio.to_thread(_libraries),
            [_worker(each) for each in sorted(facts.values(), key=lambda each: each.name)],
            result,
        )
        return json_response(found)


def _libraries() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def _worker(facts: WorkerFacts) -> DiagnosedWorker:
    engine = facts.engine
    return DiagnosedWorker(
        name=facts.name,
        engine=engine.name,
        model=engine.model,
        device=engine.device,
        compute_type=engine.compute_type,
        loaded=engine.is_loaded,
        threads=engine.concurrency,
        processors=facts.processors,
        queues=list(facts.queues),
        engine_memory=engine.memory_bytes,
        free_memory=facts.free_memory_bytes,
        libraries=engine.versions,
        trouble=facts.trouble,
    )
