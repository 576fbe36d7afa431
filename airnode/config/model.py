"""The typed configuration: every key, its type, default, meaning and limits.

Every field has a description: ``airnode config defaults``, ``configs/airnode.example.toml`` and ``docs/config.md`` are
generated from this module. Units stand in names (``_s _ms _bytes _bps``). Values are frozen once loaded.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from airnode.config.base import Port as Port
from airnode.config.base import Section as Section
from airnode.config.data import CacheSection, EventLogSection, KafkaSection, PipelineSection
from airnode.config.units import ByteSize, HomePath, Seconds


class NodeSection(Section):
    """This process."""

    name: str = Field(default="", description="Name people see for this node; empty: the machine's host name.")
    host: str = Field(
        default="",
        description="Host name or address under which viewers and encoders reach this node; "
        "empty: the host of the request that asked.",
    )
    data_dir: HomePath = Field(
        default=Path("~/.airnode"),
        description="Directory for everything this node keeps: databases, keys, endpoints.json.",
    )


class HttpSection(Section):
    """The HTTP port: pages, API, health, metrics."""

    host: str = Field(default="0.0.0.0", description="Address that all ports listen on.")
    port: Port = Field(default=8000, description="Port of the pages and the API; 0: any free one.")
    allowed_origins: tuple[str, ...] = Field(
        default=("*",),
        description="Origins whose pages may call the API and read media; '*': any (tokens are never cookies).",
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="Networks (CIDR) of reverse proxies whose X-Forwarded-For/-Proto/-Host headers are believed.",
    )
    max_body_bytes: ByteSize = Field(default=1 << 20, ge=1024, description="Largest request body the API accepts.")
    request_timeout_s: Seconds = Field(
        default=10.0,
        gt=0,
        description="A request's body must be here within this, and a page must take an event within it.",
    )
    tls_cert: HomePath | None = Field(
        default=None, description="PEM certificate chain: the HTTP and media ports speak TLS."
    )
    tls_key: HomePath | None = Field(default=None, description="PEM private key of tls_cert.")


class MediaSection(Section):
    """The media port: what students' players fetch."""

    engine: Literal["builtin", "mediamtx"] = Field(
        default="builtin",
        description="What takes publishers: builtin (RTMP), or mediamtx (SRT, RTSP and WHIP too, through a MediaMTX "
        "that is installed on this machine).",
    )
    port: Port = Field(default=8888, description="Port of the media (HLS) server; 0: any free one.")
    viewer_window_s: Seconds = Field(
        default=12.0,
        ge=5,
        le=60,
        description="A token session counts as a viewer this long after its last playlist request.",
    )
    max_rooms: int = Field(
        default=64, ge=1, description="Most rooms live at once on this node; more publishers are refused."
    )
    fragment_ms: int = Field(
        default=0,
        ge=0,
        le=200,
        description="Least length of a fragment of live.mp4; 0: every frame at once. More costs delay and saves CPU.",
    )
    live_queue_bytes: ByteSize = Field(
        default=4 << 20,
        ge=256 << 10,
        description="Most bytes of live.mp4 that wait for one viewer; beyond, it is moved on to a later key frame.",
    )
    live_queue_fragments: int = Field(
        default=150, ge=10, description="Most fragments of live.mp4 that wait for one viewer; beyond, the same."
    )
    live_stuck_s: Seconds = Field(
        default=10.0, gt=0, description="A viewer of live.mp4 that takes nothing for this long is dropped."
    )


class RtmpSection(Section):
    """RTMP ingest: what OBS and ffmpeg publish to."""

    port: Port = Field(default=1935, description="RTMP port; 0: any free one.")
    tls_port: Port | None = Field(default=None, description="RTMPS port; unset: no RTMPS.")
    tls_cert: HomePath | None = Field(default=None, description="PEM certificate chain for RTMPS.")
    tls_key: HomePath | None = Field(default=None, description="PEM private key for RTMPS.")
    open_publishing: bool = Field(
        default=False,
        description="Anyone may publish to rtmp://host/live/<room> without a key. Only for a network you trust.",
    )
    handshake_timeout_s: Seconds = Field(
        default=5.0, gt=0, description="A connection must finish the handshake within this."
    )
    publish_timeout_s: Seconds = Field(
        default=10.0, gt=0, description="...and publish within this after the handshake."
    )
    idle_timeout_s: Seconds = Field(
        default=30.0, gt=0, description="A publisher that sends nothing for this long is dropped."
    )
    takeover_after_s: Seconds = Field(
        default=2.0,
        ge=0,
        description="A second publisher with the same key takes over once the first was silent this long.",
    )
    max_connections: int = Field(
        default=64, ge=1, description="Most RTMP connections at once; further ones are closed."
    )
    max_message_bytes: ByteSize = Field(
        default=8 << 20, ge=64 << 10, le=(1 << 24) - 1, description="Largest RTMP message (one video frame)."
    )
    max_chunk_size_bytes: ByteSize = Field(
        default=(1 << 24) - 1, ge=128, le=(1 << 24) - 1, description="Largest chunk size a publisher may set."
    )
    max_chunk_streams: int = Field(default=64, ge=4, description="Most chunk streams in one connection.")
    max_streams: int = Field(default=8, ge=1, description="Most message streams (createStream) in one connection.")
    max_amf_depth: int = Field(default=16, ge=2, description="Deepest nesting of an AMF0 value.")
    max_amf_items: int = Field(default=1024, ge=16, description="Most properties and elements in one AMF0 message.")


class MediaMtxSection(Section):
    """MediaMTX, where media.engine is mediamtx. Its API, its HLS and its way to airnode stay on loopback."""

    binary: HomePath | None = Field(
        default=None, description="The mediamtx program (1.18.1 or later); unset: the one on PATH."
    )
    api_url: str = Field(
        default="",
        description="API of a MediaMTX that runs already, on loopback, such as http://127.0.0.1:9997; empty: airnode "
        "starts its own.",
    )
    srt_port: Port = Field(default=8890, description="SRT port (UDP); 0: no SRT.")
    rtsp_port: Port = Field(default=8554, description="RTSP port (TCP only); 0: no RTSP.")
    webrtc_port: Port = Field(default=8889, description="WHIP port; 0: no WebRTC.")
    webrtc_udp_port: Port = Field(default=8189, ge=1, description="UDP port of WebRTC media.")
    rtmp_port: Port = Field(
        default=0, description="RTMP port of MediaMTX; 0: airnode's own RTMP server (rtmp.port) is the only one."
    )
    api_port: Port = Field(default=0, description="Loopback port of its API; 0: any free one.")
    hls_port: Port = Field(default=0, description="Loopback port of its HLS; 0: any free one.")
    poll_s: Seconds = Field(default=0.5, ge=0.1, le=5, description="Time between two looks at its publishers.")
    publish_timeout_s: Seconds = Field(
        default=10.0, gt=0, description="A publisher that was let in must send media within this."
    )
    request_timeout_s: Seconds = Field(default=5.0, gt=0, description="Longest wait for an answer of its API.")
    restart_after_s: Seconds = Field(
        default=30.0,
        ge=5,
        description="One that airnode started and that does not answer for this long is started again.",
    )


class HlsSection(Section):
    """The live window: parts, segments, playlists."""

    part_target_ms: int = Field(
        default=200, ge=50, le=2000, description="Wished length of a part (LL-HLS Partial Segment)."
    )
    segment_duration_s: Seconds = Field(
        default=1.0, ge=0.5, le=10, description="Shortest segment; it ends at the first key frame after this."
    )
    segment_max_s: Seconds = Field(
        default=10.0, ge=2, le=60, description="Longest segment; one without a key frame in time is ended here anyway."
    )
    segment_count: int = Field(default=7, ge=3, le=100, description="Finished segments kept in the playlist.")
    segment_max_bytes: ByteSize = Field(
        default=50 << 20, ge=1 << 20, description="Largest segment; the publisher is cut off beyond it."
    )
    grace_s: Seconds = Field(
        default=60.0, ge=0, description="How long a class stays open for a publisher that dropped; 0: it ends at once."
    )
    low_latency: bool = Field(default=True, description="Offer LL-HLS (parts, blocking reload); false: plain HLS only.")


class RecordingSection(Section):
    """Recordings of classes, on the disk of the node that takes the publisher."""

    mode: Literal["off", "all", "on-request"] = Field(
        default="on-request",
        description="off: nothing is recorded; all: every class, from its start; on-request: when its teacher asks. "
        "Slaves take the master's.",
    )
    dir: HomePath | None = Field(
        default=None, description="Directory for recordings; unset: 'recordings' in node.data_dir."
    )
    student_download: bool = Field(
        default=True,
        description="Students may download recordings as MP4; false: they only watch them. Slaves take the master's.",
    )
    max_age_s: Seconds | None = Field(
        default=None, ge=1, description="Recordings that ended so long ago are removed; unset: none."
    )
    max_bytes: ByteSize | None = Field(
        default=None,
        ge=1 << 20,
        description="Most bytes of this node's recordings: the oldest are removed beyond it; unset: no limit.",
    )
    min_free_bytes: ByteSize = Field(
        default=1 << 30, ge=0, description="Recording stops, with an alarm, while less than this is free on its disk."
    )
    queue_bytes: ByteSize = Field(
        default=64 << 20,
        ge=1 << 20,
        description="Most bytes that wait for the disk; beyond, segments are left out of the recording.",
    )
    sync_s: Seconds = Field(
        default=10.0,
        gt=0,
        description="What was written is forced onto the disk this often, and at the end: what a power cut can cost.",
    )
    download_gap_s: Seconds = Field(
        default=20.0, gt=0, description="A player that takes nothing of a recording for this long is dropped."
    )


class RedisSection(Section):
    """The one Redis."""

    url: str = Field(default="", description="redis://, rediss:// or unix:// address; empty: an embedded Valkey.")
    host: str = Field(default="", description="Host name, where no url is given.")
    port: Port = Field(default=6379, description="Port that goes with host.")
    password: SecretStr = Field(default=SecretStr(""), description="Password that goes with host or url.")
    connect_timeout_s: Seconds = Field(default=5.0, gt=0, description="Longest wait for a connection.")
    max_connections: int = Field(default=64, ge=2, description="Most connections in this process's pool.")


class PostgresSection(Section):
    """The durable store."""

    url: str = Field(default="", description="postgresql:// address; empty: an embedded PostgreSQL.")
    host: str = Field(default="", description="Host name, where no url is given.")
    port: Port = Field(default=5432, description="Port that goes with host.")
    user: str = Field(default="airnode", description="User that goes with host.")
    password: SecretStr = Field(default=SecretStr(""), description="Password that goes with host or url.")
    database: str = Field(default="airnode", description="Database that goes with host.")
    connect_timeout_s: Seconds = Field(default=10.0, gt=0, description="Longest wait for a connection.")
    pool_max: int = Field(default=10, ge=1, description="Most connections in this process's pool.")


class EmbeddedSection(Section):
    """The servers that airnode runs itself where no address is configured."""

    postgres_user: str = Field(
        default="nobody", description="System user that runs PostgreSQL when airnode runs as root."
    )
    postgres_copies: int = Field(
        default=3,
        ge=1,
        description="Copies of PostgreSQL's binaries (about 40 MB each, in /var/cache/airnode) that are kept for this "
        "user where it cannot reach the installed ones; those used last, and all that run.",
    )
    start_timeout_s: Seconds = Field(default=30.0, gt=0, description="Longest wait for an embedded server to answer.")
    stop_timeout_s: Seconds = Field(default=10.0, gt=0, description="Longest wait for an embedded server to stop.")
    redis_maxmemory_bytes: ByteSize = Field(
        default=512 << 20, ge=8 << 20, description="Memory limit of the embedded Valkey."
    )
    redis_port: Port = Field(
        default=6390,
        description="TCP port of the embedded Valkey for slaves on other machines, open only where cluster.token is "
        "set; 0: any free one, kept from then on.",
    )
    redis_host: str = Field(
        default="", description="Address that this port listens on; empty: the one of all ports (http.host)."
    )
    postgres_port: Port = Field(
        default=6391,
        description="TCP port of the embedded PostgreSQL for the pipeline's roles on other machines, open only where "
        "cluster.pipeline_token is set; 0: any free one, kept from then on.",
    )
    postgres_host: str = Field(
        default="", description="Address that this port listens on; empty: the one of all ports (http.host)."
    )
    postgres_guests: int = Field(
        default=60, ge=1, le=90, description="Most connections of the pipeline's roles on other machines, of 100."
    )


class AuthSection(Section):
    """Tokens and credentials."""

    jwt_secret: SecretStr = Field(
        default=SecretStr(""), description="Key that signs tokens (HS256), 32 characters or more; standalone makes one."
    )
    teacher_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Credential that teachers give for a token; empty: a node with its own PostgreSQL makes one.",
    )
    admin_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Credential that changes the cluster (drain, remove), beside cluster.token; "
        "empty: a node with its own PostgreSQL makes one.",
    )
    student_join: Literal["code", "open", "closed"] = Field(
        default="code", description="Students need the class code (code), nothing (open), or cannot join (closed)."
    )
    token_ttl_s: Seconds = Field(default=14400.0, ge=60, le=604800, description="How long a token is good for.")
    token_rate_per_s: float = Field(default=50.0, gt=0, description="Token requests a second from one address.")
    token_burst: int = Field(
        default=1000, ge=1, description="Token requests at once from one address (a whole school)."
    )
    failure_rate_per_s: float = Field(
        default=1.0, gt=0, description="Wrong codes or secrets a second from one address."
    )
    failure_burst: int = Field(default=60, ge=1, description="Wrong codes or secrets at once from one address.")


class ClassesSection(Section):
    """Classes."""

    default_room: str = Field(
        default="stream",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        json_schema_extra={"must": "must be 1 to 63 of a-z, 0-9, '-' and '_', and begin with a letter or digit"},
        description="Room of the class that is there from the first start.",
    )
    max_classes: int = Field(default=10_000, ge=1, description="Most classes that can be made.")


class ClusterSection(Section):
    """How nodes find each other."""

    master_url: str = Field(
        default="", description="Address of a master, for slaves and for the pipeline's roles on other machines."
    )
    token: SecretStr = Field(
        default=SecretStr(""),
        description="Credential with which nodes join, 32 characters or more, the same on all of them.",
    )
    pipeline_token: SecretStr = Field(
        default=SecretStr(""),
        description="Credential with which cache-workers, producers and consumers on other machines get to the "
        "embedded stores of a master, 32 characters or more, the same on the master and on them; opens the event log, "
        "the cache and the pipeline's tables, and nothing else.",
    )
    max_connections: int = Field(default=150, ge=1, description="Viewers this node takes.")
    bandwidth_bps: int | None = Field(
        default=None, ge=1_000_000, description="Most bit/s this node sends to viewers; unset: no limit."
    )
    heartbeat_s: Seconds = Field(default=2.0, gt=0, description="Time between two heartbeats.")
    lease_s: Seconds = Field(
        default=6.0, gt=0, description="A node is gone when its last heartbeat is older than this."
    )
    reservation_s: Seconds = Field(
        default=15.0, ge=1, le=300, description="A place issued with a token is kept this long for its viewer."
    )
    remember_s: Seconds = Field(
        default=3600.0, ge=0, description="How long a node that is gone is still listed, as offline."
    )
    open_status: bool = Field(
        default=False,
        description="Anyone may read /cluster/nodes, /cluster/best-node and /cluster/streams; "
        "false: a teacher, an admin, or the cluster token.",
    )


class RelaySection(Section):
    """Rooms that come from another node."""

    fanout: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="Most edges that pull one room from this node. Where the origin has so many, further ones pull "
        "from those, in a second tier; the same on all nodes.",
    )
    place_s: Seconds = Field(
        default=2.0,
        ge=0.5,
        le=60,
        description="An edge that asks for nothing for this long gives its place in the fan-out to another.",
    )
    room_max_bytes: ByteSize = Field(
        default=256 << 20,
        ge=4 << 20,
        description="Most media kept of one relayed room; beyond, the oldest goes, and is fetched anew when asked for.",
    )
    lost_after_s: Seconds = Field(
        default=4.0,
        ge=1,
        le=60,
        description="An origin that reports to the cluster and does not answer this node for so long is out of reach: "
        "viewers are sent to other nodes.",
    )


class DrainSection(Section):
    """Going down."""

    delay_s: Seconds = Field(default=0.5, ge=0, description="Between saying 'draining' and taking no new work.")
    timeout_s: Seconds = Field(default=8.0, ge=0, description="Longest wait for open work to end.")
    deadline_s: Seconds = Field(
        default=20.0, gt=0, description="The whole stop takes no longer than this (exit code 3)."
    )


class LogSection(Section):
    """The log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console on a terminal, else JSON."
    )


class Settings(Section):
    """Everything. Sections of installed third-party roles come in under ``roles.<name>``."""

    node: NodeSection = NodeSection()
    http: HttpSection = HttpSection()
    media: MediaSection = MediaSection()
    rtmp: RtmpSection = RtmpSection()
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
    kafka: KafkaSection = KafkaSection()
    eventlog: EventLogSection = EventLogSection()
    cache: CacheSection = CacheSection()
    pipeline: PipelineSection = PipelineSection()
    drain: DrainSection = DrainSection()
    log: LogSection = LogSection()
