"""The whole configuration: its sections, one file each in :mod:`airnode.config.sections`.

Every field has a description: ``airnode config defaults``, ``configs/airnode.example.toml`` and ``docs/config.md`` are
generated from these classes. Names contain units (``_s _ms _bytes _bps``). Values are frozen once loaded.
"""

from airnode.config.sections.auth import AuthSection
from airnode.config.sections.base import Section
from airnode.config.sections.browser import BrowserSection
from airnode.config.sections.cache import CacheSection
from airnode.config.sections.chat import ChatSection
from airnode.config.sections.classes import ClassesSection
from airnode.config.sections.cluster import ClusterSection
from airnode.config.sections.drain import DrainSection
from airnode.config.sections.embedded import EmbeddedSection
from airnode.config.sections.eventlog import EventLogSection
from airnode.config.sections.hls import HlsSection
from airnode.config.sections.http import HttpSection
from airnode.config.sections.jobs import JobsSection
from airnode.config.sections.kafka import KafkaSection
from airnode.config.sections.log import LogSection
from airnode.config.sections.media import MediaSection
from airnode.config.sections.mediamtx import MediaMtxSection
from airnode.config.sections.node import NodeSection
from airnode.config.sections.pipeline import PipelineSection
from airnode.config.sections.postgres import PostgresSection
from airnode.config.sections.recording import RecordingSection
from airnode.config.sections.redis import RedisSection
from airnode.config.sections.relay import RelaySection
from airnode.config.sections.rtmp import RtmpSection
from airnode.config.sections.speech import SpeechSection


class Settings(Section):
    """Everything. Sections of installed third-party roles come in under ``roles.<name>``."""

    node: NodeSection = NodeSection()
    http: HttpSection = HttpSection()
    media: MediaSection = MediaSection()
    rtmp: RtmpSection = RtmpSection()
    browser: BrowserSection = BrowserSection()
    mediamtx: MediaMtxSection = MediaMtxSection()
    hls: HlsSection = HlsSection()
    recording: RecordingSection = RecordingSection()
    redis: RedisSection = RedisSection()
    postgres: PostgresSection = PostgresSection()
    embedded: EmbeddedSection = EmbeddedSection()
    auth: AuthSection = AuthSection()
    classes: ClassesSection = ClassesSection()
    cluster: ClusterSection = ClusterSection()
    relay: RelaySection = RelaySection()
    chat: ChatSection = ChatSection()
    jobs: JobsSection = JobsSection()
    kafka: KafkaSection = KafkaSection()
    eventlog: EventLogSection = EventLogSection()
    cache: CacheSection = CacheSection()
    pipeline: PipelineSection = PipelineSection()
    speech: SpeechSection = SpeechSection()
    drain: DrainSection = DrainSection()
    log: LogSection = LogSection()
