"""Silence for the holes in a recording's sound, in the downloaded MP4.

Chromium plays a downloaded file's sound without its holes: after a hole, the sound would be too early for the picture.
So a hole is filled with silent frames. They are in the mdat once, before the recorded media; all silent samples of one
sample entry refer to the same bytes.
"""

from dataclasses import dataclass
from struct import unpack_from

from airnode.media.codecs.aac import parse_asc
from airnode.media.codecs.bits import BitstreamError
from airnode.media.codecs.opus import parse_dops
from airnode.media.codecs.silence import silence
from airnode.media.frames import AudioConfig

#: Silent frames of one sample entry in the mdat, and the most samples in one silent chunk.
_BLOCK_FRAMES = 64
_DECODER_CONFIG, _DECODER_SPECIFIC = 0x04, 0x05


@dataclass(frozen=True, slots=True)
class SilentBlock:
    """Consecutive silent frames in the file.

    Attributes:
        at: position of the first one, counted as a position in the recorded file.
        frame_ticks: duration of a frame in samples.
    """

    at: int
    frame_bytes: int
    frame_ticks: int

    def chunks(self, frames: int) -> list[int]:
        """Return the numbers of samples of the chunks that together have this many frames."""
        return [min(_BLOCK_FRAMES, frames - at) for at in range(0, frames, _BLOCK_FRAMES)]


class SilentFrames:
    """The silent frames of a file.

    Args:
        media_at: position of the first recorded byte of the file in the recorded file.

    Attributes:
        data: the bytes that stand in the mdat before the recorded media.
    """

    def __init__(self, media_at: int) -> None:
        self.data = b""
        self._media_at = media_at
        #: {sample entry: its silence}; None: airnode cannot make silence for it.
        self._blocks: dict[bytes, SilentBlock | None] = {}

    def block(self, entry: bytes) -> SilentBlock | None:
        """Return the silence for a sample entry that airnode wrote; None: there is none."""
        if entry not in self._blocks:
            self._blocks[entry] = self._make(entry)
        return self._blocks[entry]

    def _make(self, entry: bytes) -> SilentBlock | None:
        config = _audio_config(entry)
        frame = silence(config) if config is not None else None
        if config is None or not frame:
            return None
        self.data = frame * _BLOCK_FRAMES + self.data
        return SilentBlock(self._media_at - len(self.data), len(frame), config.samples_per_frame)


def _audio_config(entry: bytes) -> AudioConfig | None:
    """Return the configuration in an audio sample entry that airnode wrote; None: it has none."""
    try:
        if entry[4:8] == b"Opus":
            at = entry.index(b"dOps")
            return parse_dops(entry[at + 4 : at - 4 + unpack_from(">I", entry, at - 4)[0]])
        if entry[4:8] == b"mp4a":
            return parse_asc(_audio_specific_config(entry, entry.index(b"esds") + 8))
    except (BitstreamError, ValueError, IndexError):
        return None
    return None


def _audio_specific_config(data: bytes, at: int) -> bytes:
    """Return the AudioSpecificConfig in the ES_Descriptor at this position (ISO 14496-1 7.2.6)."""
    _, at, _ = _descriptor(data, at)
    tag, at, end = _descriptor(data, at + 3)
    if tag == _DECODER_CONFIG:
        tag, at, end = _descriptor(data, at + 13)
    if tag != _DECODER_SPECIFIC:
        raise ValueError("an esds box without a configuration")
    return data[at:end]


def _descriptor(data: bytes, at: int) -> tuple[int, int, int]:
    """Return (tag, start of the body, end) of the descriptor at this position (14496-1 8.3.3)."""
    tag, at, size_bytes = data[at], at + 1, 0
    while True:
        byte = data[at]
        at += 1
        size_bytes = size_bytes << 7 | byte & 0x7F
        if not byte & 0x80:
            return tag, at, at + size_bytes
