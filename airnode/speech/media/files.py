"""What a media file holds, and its audio as samples."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airnode.speech.audio import BYTES_PER_S, BYTES_PER_SAMPLE
from airnode.speech.errors import AudioTooLong, DecodingFailed, EmptyMedia
from airnode.speech.media import child
from airnode.speech.media.limits import MediaLimits
from airnode.speech.media.messages import AudioInfo, Cuts, DecodedAudio, MediaOrder, Piece


async def probe(path: Path, limits: MediaLimits, track: int = -1) -> AudioInfo:
    """Return what a file holds, however long it is (``AudioInfo.is_too_long``).

    Raises:
        EmptyMedia, NoAudioTrack, UnreadableMedia, DecodingFailed, SpeechMissing: see :func:`child.answer`.
        OSError: the file cannot be opened.
    """
    with _reading(path) as source_fd:
        order = MediaOrder("probe", source_fd, max_duration_s=limits.max_duration_s, track=track)
        return await child.answer(order, AudioInfo, limits)


async def decode(path: Path, out: Path, limits: MediaLimits, track: int = -1) -> DecodedAudio:
    """Write the audio of a file to ``out``: s16le, 16 kHz, mono. After an error there is no such file.

    Raises:
        AudioTooLong: it goes on after ``limits.max_duration_s``.
        EmptyMedia, NoAudioTrack, UnreadableMedia, DecodingFailed, SpeechMissing: see :func:`child.answer`.
        OSError: the file cannot be opened, or ``out`` cannot be written.
    """
    try:
        with _reading(path) as source_fd, out.open("wb", buffering=0) as output:
            order = MediaOrder(
                "decode", source_fd, output_fd=output.fileno(), max_duration_s=limits.max_duration_s, track=track
            )
            decoded = await child.answer(order, DecodedAudio, limits, round(limits.max_duration_s * BYTES_PER_S))
            written = os.fstat(output.fileno()).st_size
        if written != decoded.samples * BYTES_PER_SAMPLE:
            raise DecodingFailed("The file cannot be decoded: the decoder wrote something else than it says.")
        if decoded.is_too_long:
            raise too_long(limits.max_duration_s, limits.max_duration_s)
    except BaseException:
        out.unlink(missing_ok=True)  # noqa: ASYNC240 - a moment
        raise
    return decoded


async def pieces(pcm: Path, min_s: float, max_s: float, limits: MediaLimits) -> list[Piece]:
    """Return where to cut audio (s16le, 16 kHz, mono): at the longest silence between ``min_s`` and ``max_s``.

    The last piece may be shorter. ``Piece.speech_s`` is 0 where nobody speaks.

    Raises:
        EmptyMedia: there are no samples.
        DecodingFailed, SpeechMissing: see :func:`child.answer`.
        OSError: the file cannot be opened.
    """
    with _reading(pcm) as source_fd:
        order = MediaOrder("split", source_fd, piece_min_s=min_s, piece_max_s=max_s)
        found = list((await child.answer(order, Cuts, limits)).pieces)
    if not found:
        raise EmptyMedia("There are no samples.")
    return found


def too_long(duration_s: float, max_duration_s: float) -> AudioTooLong:
    """Return the error for audio that is longer than the limit."""
    return AudioTooLong(
        f"The audio is longer than {max_duration_s / 60:g} minutes, the limit (speech.max_duration_s).",
        fields={"duration_s": duration_s, "max_duration_s": max_duration_s},
    )


@contextmanager
def _reading(path: Path) -> Iterator[int]:
    fd = child.opened_fd(path)
    try:
        yield fd
    finally:
        os.close(fd)
