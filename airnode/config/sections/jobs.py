"""The ``[jobs]`` section of the configuration."""

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import ByteSize, Seconds


class JobsSection(Section):
    """Durable jobs: queues of work on Redis, and the workers that take it."""

    lock_s: Seconds = Field(
        default=6.0,
        ge=2,
        le=600,
        description="A worker that has not renewed the lock of a job for this long has lost it: another worker takes "
        "the job. It renews four times as often.",
    )
    stalled_check_s: Seconds = Field(
        default=1.5,
        ge=0.2,
        le=600,
        description="Pause between two searches for jobs whose worker is gone.",
    )
    stalled_max: int = Field(
        default=3,
        ge=0,
        le=100,
        description="A job that lost its worker more often than this fails: it may be what kills the workers.",
    )
    hung_s: Seconds = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="A worker whose event loop has not run for this long stops renewing locks, so that other workers "
        "take its jobs.",
    )
    cancel_grace_s: Seconds = Field(
        default=10.0,
        ge=0,
        le=600,
        description="A handler whose job was cancelled, or ran into its time limit, gets this long to end by itself.",
    )
    max_waiting: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Largest number of waiting jobs in one queue; further ones are refused.",
    )
    data_max_bytes: ByteSize = Field(
        default=256 << 10, ge=1 << 10, description="Largest data of one job, as JSON; larger ones are refused."
    )
    result_max_bytes: ByteSize = Field(
        default=8 << 20, ge=1 << 10, description="Largest result of one job, as JSON; with a larger one it fails."
    )
    no_worker_warn_s: Seconds = Field(
        default=30.0,
        ge=1,
        le=86_400,
        description="A queue with waiting jobs and no worker for this long is reported in /health.",
    )
