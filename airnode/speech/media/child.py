"""Runs a media child and returns its answer."""

import asyncio
import errno
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog

from airnode.errors import AirnodeError, InvalidInput
from airnode.kernel.tasks import TaskScope
from airnode.processes.child import ChildProcess, ExitReason, LaunchSpec, ProcessLimits
from airnode.speech import errors
from airnode.speech.media.limits import MediaLimits
from airnode.speech.media.messages import AudioInfo, Cuts, DecodedAudio, MediaAnswer, MediaFailure, MediaOrder

log = structlog.get_logger(__name__)

_MODULE: Final = "airnode.speech.media.program"
_MAX_ANSWER_BYTES: Final = 16 << 20
_OPEN_FILES: Final = 64
#: A killed child has ended within this time.
_KILLED_S: Final = 5.0
#: Of the file that the child writes: a little more than the longest audio.
_FILE_MARGIN_BYTES: Final = 4 << 20
_ERRORS: Final[dict[str, type[InvalidInput]]] = {
    kind.code: kind for kind in (errors.EmptyMedia, errors.NoAudioTrack, errors.UnreadableMedia)
}
_LIMITS: Final = {
    ExitReason.CPU_TIME: "it takes too much processor time",
    ExitReason.WALL_TIME: "it takes too long",
    ExitReason.FILE_SIZE: "its audio is too large",
    ExitReason.SIGNAL: "the decoder crashed",
    ExitReason.EXITED: "the decoder failed, perhaps for want of memory",
}


Answer = TypeVar("Answer", AudioInfo, DecodedAudio, Cuts)


async def answer(order: MediaOrder, kind: type[Answer], limits: MediaLimits, max_output_bytes: int = 0) -> Answer:
    """Return the answer of a child to an order, whose ``answer_fd`` is filled in here.

    The child is killed if this call is cancelled.

    Args:
        kind: of the answer.
        max_output_bytes: of what it writes.

    Raises:
        EmptyMedia, NoAudioTrack, UnreadableMedia: the file is refused.
        DecodingFailed: the child went beyond a limit or crashed; ``detail`` names the key to change.
        SpeechMissing: the extra ``stt`` is not installed.
        OSError: there is no space left on the disk.
    """
    with tempfile.TemporaryDirectory(prefix="airnode-media-") as name:
        folder = Path(name)
        with (folder / "answer").open("w+b", buffering=0) as file:
            order = msgspec.structs.replace(order, answer_fd=file.fileno())
            child = await _run(order, limits, folder, max_output_bytes)
            file.seek(0)
            found = answer_in(file.read(_MAX_ANSWER_BYTES), *child)
    if not isinstance(found, kind):
        raise errors.DecodingFailed("The file cannot be decoded: the decoder answered something else.")
    return found


async def _run(
    order: MediaOrder, limits: MediaLimits, folder: Path, max_output_bytes: int
) -> tuple[int | None, ExitReason | None, str]:
    descriptors = [fd for fd in (order.source_fd, order.output_fd, order.answer_fd) if fd >= 0]
    spec = LaunchSpec(
        [sys.executable, "-I", "-m", _MODULE, msgspec.json.encode(order).decode()],
        folder,
        folder / "lock",
        env={"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
        limits=ProcessLimits(
            memory_bytes=limits.memory_bytes,
            cpu_s=max(1, round(limits.timeout_s)),
            file_size_bytes=max_output_bytes + _FILE_MARGIN_BYTES,
            open_files=_OPEN_FILES,
            wall_s=limits.timeout_s,
        ),
        inherit=descriptors,
    )
    tasks = TaskScope(f"speech-{order.action}")
    child = None
    try:
        child = await ChildProcess.launch(f"speech-{order.action}", spec, tasks)
        await asyncio.wait([child.exited])
        return child.returncode, child.exit_reason, await child.tail()
    finally:
        if child is not None:
            child.kill_group()
            await child.wait(_KILLED_S)
        await tasks.aclose()


def answer_in(
    body: bytes, exit_code: int | None, reason: ExitReason | None, tail: str
) -> AudioInfo | DecodedAudio | Cuts:
    """Return the answer in what a child wrote. Raises what :func:`answer` does."""
    if exit_code == 0 and body:
        try:
            found: MediaAnswer = msgspec.json.decode(body, type=MediaAnswer)
        except msgspec.DecodeError:
            raise errors.DecodingFailed("The file cannot be decoded: the decoder's answer is no answer.") from None
        if not isinstance(found, MediaFailure):
            return found
        if found.code == "disk_full":
            raise OSError(errno.ENOSPC, found.detail)
        raise _ERRORS.get(found.code, errors.UnreadableMedia)(found.detail)
    raise _failure(reason or ExitReason.EXITED, exit_code, tail)


def _failure(reason: ExitReason, exit_code: int | None, tail: str) -> AirnodeError:
    if "ModuleNotFoundError" in tail:
        return errors.SpeechMissing("Speech needs the extra stt: pip install 'airnode[stt]'.", debug=tail)
    log.warning("media_child_failed", reason=reason.value, exit_code=exit_code, output=tail[-2000:])
    return errors.DecodingFailed(
        f"The file cannot be decoded: {_LIMITS[reason]}. Limits: speech.decode_timeout_s, speech.decode_memory_bytes.",
        debug=tail,
    )


def opened_fd(path: Path) -> int:
    """Return a descriptor of a file to read. Raises UnreadableMedia: it is no regular file; OSError: see open(2)."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise errors.UnreadableMedia("This is not a file.")
    return fd
