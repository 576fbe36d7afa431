"""Puts the speech of one process together: what a master does, and what a worker does."""

import importlib.util
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.jobs.control import Handler
from airnode.bus.jobs.jobs import Jobs
from airnode.bus.jobs.worker import JobWorker
from airnode.bus.leases import Leases
from airnode.config.sections.auth import AuthSection
from airnode.config.sections.http import HttpSection
from airnode.config.sections.speech import SpeechSection
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.speech.errors import SpeechMissing
from airnode.speech.media.files import probe
from airnode.speech.media.limits import MediaLimits
from airnode.speech.service.audio_api import AudioApi
from airnode.speech.service.callers import Callers
from airnode.speech.service.diagnosis_api import DiagnosisApi
from airnode.speech.service.fairness import Turns
from airnode.speech.service.intake import UploadIntake
from airnode.speech.service.merging_job import MergingJob
from airnode.speech.service.openai_api import OpenAiApi
from airnode.speech.service.piece_source import PieceSource
from airnode.speech.service.progress import ProgressBoard, TranscriptChanges
from airnode.speech.service.queue_names import SPLITS
from airnode.speech.service.records import Transcripts
from airnode.speech.service.selftest import SelfTest
from airnode.speech.service.speed import SpeedBook
from airnode.speech.service.splitting_job import SplittingJob
from airnode.speech.service.statuses import Statuses
from airnode.speech.service.submissions import SubmissionMetrics, Submissions
from airnode.speech.service.transcripts_api import TranscriptsApi
from airnode.speech.service.upload_files import UploadFiles, uploads_root
from airnode.speech.service.uploads import UploadMetrics, UploadReceiver
from airnode.speech.service.waiting import Waits
from airnode.store.api_keys import ApiKeys
from airnode.store.postgres import Postgres
from airnode.web.addresses import Addresses, PortName
from airnode.web.clients import Clients
from airnode.web.credentials import Authorizer
from airnode.web.rate_limit import AttemptLimit
from airnode.web.tokens import Tokens

#: Packages of the extra ``stt`` without which a master cannot read media files.
_NEEDED = ("av", "faster_whisper")


@dataclass(frozen=True, slots=True)
class TranscriptParts:
    """The transcripts of a master. ``services`` start in this order."""

    services: tuple[Service, ...]
    #: {name of a health check: returns a sentence, or raises}.
    checks: Mapping[str, Callable[[], Awaitable[str]]]
    apis: tuple[TranscriptsApi | OpenAiApi | AudioApi | DiagnosisApi, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterSide:
    """What the transcripts of a master need.

    Attributes:
        jobs: durable jobs. attempts: limit of wrong API keys per network.
        data_dir: of the node. node_id: of this master. speech_token: opens the uploads of other masters.
    """

    bus: Bus
    postgres: Postgres
    jobs: Jobs
    speech: SpeechSection
    auth: AuthSection
    http: HttpSection
    authorizer: Authorizer
    tokens: Tokens
    clients: Clients
    attempts: AttemptLimit
    addresses: Addresses
    data_dir: Path
    node_id: str
    node_name: str
    speech_token: str
    registry: CollectorRegistry
    tasks: Callable[[str], TaskScope]


def is_installed() -> bool:
    """Return whether the extra ``stt`` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in _NEEDED)


def require_installed() -> None:
    """Raise SpeechMissing (503) unless the extra ``stt`` is installed."""
    if not is_installed():
        raise SpeechMissing("This node cannot read audio: install airnode[stt] here.")


def make_transcripts(side: MasterSide) -> TranscriptParts:
    """Return the parts of a master: the API, and the jobs that cut uploads and merge pieces."""
    section = side.speech
    files = UploadFiles(uploads_root(section, side.data_dir), section.min_free_bytes)
    transcripts, board, turns = Transcripts(side.postgres), ProgressBoard(side.bus), Turns(side.bus)
    changes = TranscriptChanges(side.bus)
    keys = ApiKeys(side.postgres)
    callers = Callers(side.authorizer, side.tokens, keys, side.clients, side.attempts, side.auth, side.registry)
    statuses = Statuses(transcripts, board, SpeedBook(side.bus), side.jobs, section.piece_max_s)
    submissions = Submissions(
        transcripts=transcripts,
        files=files,
        jobs=side.jobs,
        turns=turns,
        board=board,
        callers=callers,
        measure=_measure(section),
        section=section,
        node_id=side.node_id,
        urls=lambda: base_urls(side.addresses),
        metrics=SubmissionMetrics(side.registry),
        tasks=side.tasks("transcript-submissions"),
    )
    source = PieceSource(None, side.node_id, side.speech_token)
    splitting = SplittingJob(
        transcripts=transcripts,
        submissions=submissions,
        files=files,
        source=source,
        jobs=side.jobs,
        turns=turns,
        board=board,
        section=section,
        node_id=side.node_id,
        urls=lambda: base_urls(side.addresses),
    )
    handlers: dict[str, Handler] = {"split": splitting, "merge": MergingJob(transcripts, submissions)}
    worker = JobWorker(
        side.jobs,
        [SPLITS],
        handlers,
        concurrency=section.max_concurrent_splits,
        tasks=side.tasks("speech-splits"),
        name=side.node_name,
    )
    receiver = UploadReceiver(files, section, UploadMetrics(side.registry))
    intake = UploadIntake(callers, receiver, submissions, files, require_installed)
    waits = Waits(section.answer_timeout_s, side.http.request_timeout_s)
    apis = (
        TranscriptsApi(
            callers=callers,
            intake=intake,
            submissions=submissions,
            transcripts=transcripts,
            statuses=statuses,
            changes=changes,
            waits=waits,
        ),
        OpenAiApi(
            callers=callers,
            intake=intake,
            transcripts=transcripts,
            statuses=statuses,
            changes=changes,
            model=section.model,
            waits=waits,
        ),
        AudioApi(side.authorizer, files),
        DiagnosisApi(callers, Leases(side.bus), SelfTest(side.jobs), section),
    )
    if not is_installed():
        return TranscriptParts((), {}, apis)

    async def working() -> str:
        return worker.check()

    return TranscriptParts((changes, source, submissions, worker), {"transcripts": working}, apis)


def base_urls(addresses: Addresses) -> Sequence[str]:
    """Return the base URLs of a node for workers: on the network, and on the same machine."""
    hosts = dict.fromkeys((addresses.network_host, addresses.local_host))
    return [addresses.url(PortName.HTTP, host) for host in hosts if host is not None]


def _measure(section: SpeechSection) -> Callable[[Path], Awaitable[float]]:
    limits = MediaLimits.of(section)

    async def measure(path: Path) -> float:
        info = await probe(path, limits)
        return info.duration_s

    return measure
