"""The ``[speech]`` section of the configuration."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from airnode.config.sections.base import Section
from airnode.config.units import ByteSize, HomePath, Seconds

_QueueName = Annotated[str, Field(pattern=r"^(long|short)-files$")]
_Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class SpeechSection(Section):
    """Transcripts and captions: which engine, how much of it at once, and the limits of media files."""

    engine: Literal["auto", "local", "remote"] = Field(
        default="auto",
        description="local: faster-whisper in a child process (the extra `stt`); remote: an API that speaks OpenAI's "
        "`/audio/transcriptions`; auto: remote where speech.remote_url is set, else local.",
    )
    model: str = Field(
        default="base",
        min_length=1,
        description="Whisper model in CTranslate2 format: a name, such as base or small, or a directory.",
    )
    models_dir: HomePath | None = Field(
        default=None, description="Where models are kept; unset: the directory `models` below node.data_dir."
    )
    download_models: bool = Field(
        default=True,
        description="Fetch a model from the model hub where it is neither in speech.models_dir nor in an installed "
        "package.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: a CUDA device where there is one, else the processor."
    )
    compute_type: Literal["auto", "int8", "int8_float16", "float16", "float32"] = Field(
        default="auto", description="auto: float16 on CUDA, int8 on the processor."
    )
    max_concurrent_chunks: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Pieces of audio that a worker transcribes at once, one thread each; 0: as many as processors.",
    )
    batch_size: int = Field(
        default=8,
        ge=1,
        le=64,
        description="Stretches of up to 30 s of a piece that go through the model together; 1: one after the other.",
    )
    beam_size: int = Field(default=5, ge=1, le=10, description="Candidates that decoding follows.")
    languages: tuple[_Language, ...] = Field(
        default=(),
        description="Languages to expect, as ISO 639 codes: one of them is chosen where nobody says the language; "
        "empty: any.",
    )
    prompt: str = Field(
        default="", max_length=1000, description="Words to expect, such as names and terms; given to the model first."
    )
    idle_unload_s: Seconds = Field(
        default=600.0, ge=1, description="The engine's process ends after this long without work; 600 is 10 minutes."
    )
    load_timeout_s: Seconds = Field(default=120.0, gt=0, description="Longest time to load the model.")
    piece_timeout_s: Seconds = Field(
        default=900.0,
        gt=0,
        description="Longest time to transcribe one piece; then the engine's process is killed and the piece fails.",
    )
    nice: int = Field(
        default=10,
        ge=0,
        le=19,
        description="How far the engine's process stands back for others (nice(1)), such as a live class.",
    )
    remote_url: str = Field(
        default="", description="Base URL of the remote engine, such as https://api.openai.com/v1; empty: none."
    )
    openai_api_key: SecretStr = Field(default=SecretStr(""), description="The remote engine's API key.")
    remote_model: str = Field(
        default="whisper-1", min_length=1, description="Model that the remote engine is asked for."
    )
    remote_timeout_s: Seconds = Field(default=300.0, gt=0, description="Longest wait for the remote engine's answer.")
    piece_min_s: Seconds = Field(
        default=90.0, ge=5, le=600, description="A piece is cut at the longest silence after this time of it."
    )
    piece_max_s: Seconds = Field(default=120.0, ge=10, le=900, description="Longest piece.")
    max_duration_s: Seconds = Field(
        default=1800.0, ge=1, description="Longest audio of one file, as counted while decoding; 1800 is 30 minutes."
    )
    decode_memory_bytes: ByteSize = Field(
        default=2 << 30,
        ge=512 << 20,
        description="Address space of the process that decodes a media file; beyond it, decoding fails.",
    )
    decode_timeout_s: Seconds = Field(
        default=300.0, gt=0, description="Longest time, and most processor time, to decode a media file."
    )
    queues: tuple[_QueueName, ...] = Field(
        default=("short-files", "long-files"),
        min_length=1,
        description="Queues that this worker takes pieces from: short-files, long-files, or both.",
    )
    worker_id: str = Field(
        default="", max_length=100, description="Name of this worker for people; empty: the node's name."
    )
    short_file_s: Seconds = Field(
        default=300.0,
        ge=0,
        description="Uploads shorter than this wait in the queue short-files, others in long-files.",
    )
    uploads_dir: HomePath | None = Field(
        default=None, description="Directory for uploads until they are transcribed; unset: 'uploads' in node.data_dir."
    )
    max_upload_bytes: ByteSize = Field(default=1 << 30, ge=1 << 10, description="Largest file of an upload.")
    max_uploads: int = Field(default=32, ge=1, description="Uploads that a master receives at once.")
    upload_gap_s: Seconds = Field(
        default=30.0, gt=0, description="An upload of which nothing more comes for this long is refused."
    )
    min_free_bytes: ByteSize = Field(
        default=1 << 30, ge=0, description="No upload is taken while its disk has less free space than this."
    )
    max_open: int = Field(
        default=1000, ge=1, description="Transcripts of one user, or of one API key, that are not done yet."
    )
    max_concurrent_splits: int = Field(
        default=2, ge=1, le=64, description="Uploads that a master decodes and cuts into pieces at once."
    )
    answer_timeout_s: Seconds = Field(
        default=3600.0,
        gt=0,
        description="Longest wait of a client that asked for the transcript in the answer; the work goes on after it.",
    )
