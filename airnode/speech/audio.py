"""The audio that all of speech works on: 16-bit little-endian samples (s16le), 16,000 a second, one channel."""

from typing import Final

SAMPLE_RATE: Final = 16_000
BYTES_PER_SAMPLE: Final = 2
BYTES_PER_S: Final = SAMPLE_RATE * BYTES_PER_SAMPLE


def duration_s(pcm_bytes: int) -> float:
    """Return the length of so many bytes of audio in seconds."""
    return pcm_bytes / BYTES_PER_S


def byte_offset(at_s: float) -> int:
    """Return where the sample at this time begins in the bytes."""
    return round(at_s * SAMPLE_RATE) * BYTES_PER_SAMPLE
