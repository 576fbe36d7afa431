"""Limits of reading a media file."""

from dataclasses import dataclass

from airnode.config.sections.speech import SpeechSection


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Limits of the child process that reads a file, and of what it may find there.

    Attributes:
        max_duration_s: longest audio, counted while decoding.
        memory_bytes: address space of the child.
        timeout_s: longest time of the child, and most processor time.
    """

    max_duration_s: float
    memory_bytes: int
    timeout_s: float

    @classmethod
    def of(cls, section: SpeechSection) -> "MediaLimits":
        """Return the limits that the configuration gives."""
        return cls(section.max_duration_s, section.decode_memory_bytes, section.decode_timeout_s)
