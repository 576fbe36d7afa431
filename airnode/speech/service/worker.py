"""Puts an stt-worker together: an engine, and the worker that gives it pieces from the queues."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.jobs.jobs import Jobs
from airnode.bus.jobs.worker import JobWorker
from airnode.bus.leases import Leases
from airnode.config.sections.speech import SpeechSection
from airnode.errors import StartupError, Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.speech.engines.choice import engine_for
from airnode.speech.engines.local import LocalEngine
from airnode.speech.engines.remote import RemoteEngine
from airnode.speech.media.limits import MediaLimits
from airnode.speech.service.fairness import Turns
from airnode.speech.service.piece_source import PieceSource
from airnode.speech.service.progress import ProgressBoard
from airnode.speech.service.selftest import SELFTEST, SelfTestJob
from airnode.speech.service.speed import SpeedBook
from airnode.speech.service.transcribing_job import TranscribingJob
from airnode.speech.service.upload_files import UploadFiles, uploads_root
from airnode.speech.service.worker_facts import WorkerReporter


@dataclass(frozen=True, slots=True)
class SttWorkerParts:
    """A worker's parts. ``services`` start in this order."""

    engine: LocalEngine | RemoteEngine
    jobs: JobWorker
    services: tuple[Service, ...]

    def preflight(self) -> None:
        """Raise StartupError if this installation cannot transcribe."""
        needed = ("bullmq", "faster_whisper") if isinstance(self.engine, LocalEngine) else ("bullmq",)
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
        if missing:
            raise StartupError(
                f"The role stt-worker needs {' and '.join(missing)}: install the extra, pip install 'airnode[stt]'."
            )

    async def check(self) -> str:
        """Return what the engine is, for the health check.

        Raises:
            Unavailable: the last piece failed because of the engine, or the queues cannot be reached.
        """
        if isinstance(self.engine, LocalEngine) and self.engine.trouble:
            raise Unavailable(self.engine.trouble)
        state = self.engine.describe()
        loaded = "loaded" if state.is_loaded else "not loaded"
        return f"{self.jobs.check()}; {state.name} {state.model}, {loaded}"


def make_worker(
    bus: Bus,
    jobs: Jobs,
    section: SpeechSection,
    *,
    data_dir: Path,
    node_id: str,
    node_name: str,
    speech_token: str,
    master_url: str,
    registry: CollectorRegistry,
    tasks: Callable[[str], TaskScope],
) -> SttWorkerParts:
    """Return the parts of a worker.

    Args:
        node_id: of this process: uploads of a master in it are read from its disk.
        speech_token: opens the audio on masters. master_url: of the master that it joined; empty: it joined none.
    """
    engine = engine_for(section, data_dir, registry)
    files = UploadFiles(uploads_root(section, data_dir), section.min_free_bytes)
    source = PieceSource(files, node_id, speech_token, master_url)
    handler = TranscribingJob(engine, source, ProgressBoard(bus), Turns(bus), SpeedBook(bus))
    name = section.worker_id or node_name
    worker = JobWorker(
        jobs,
        section.queues,
        {"transcribe": handler, SELFTEST: SelfTestJob(engine, MediaLimits.of(section))},
        concurrency=engine.concurrency,
        tasks=tasks("stt-worker"),
        name=name,
    )
    reporter = WorkerReporter(
        Leases(bus),
        engine,
        node_id=node_id,
        worker_name=name,
        queues=section.queues,
        tasks=tasks("worker-facts"),
    )
    return SttWorkerParts(engine, worker, (source, engine, reporter, worker))
