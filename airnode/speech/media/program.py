"""The program of a media child: ``python -I -m airnode.speech.media.program '<MediaOrder>'``.

The file comes as an open descriptor. After the libraries are loaded, the child gives up root, and may neither start
another process nor gain rights again: a decoder that a hostile file takes over can read that file, use up its limits,
and write a wrong answer.
"""

import ctypes
import errno
import os
import resource
import signal
import sys
from typing import Final

import msgspec

from airnode.speech.media.messages import MediaAnswer, MediaFailure, MediaOrder

_NOBODY: Final = 65534
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


def give_up_rights() -> None:
    """Become nobody if this is root; start no process, gain no rights."""
    parent = os.getppid()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # a changed user id has cleared it
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        if os.getppid() != parent:
            sys.exit(1)


def answer_to(order: MediaOrder) -> MediaAnswer:
    """Do what was ordered."""
    if order.action == "split":
        from airnode.speech.media import cutting
        from airnode.speech.vad import SpeechDetector

        detector = SpeechDetector()
        give_up_rights()
        with os.fdopen(order.source_fd, "rb") as source:
            return cutting.cuts(source, detector, order.piece_min_s, order.piece_max_s)
    from airnode.speech.media import reading

    give_up_rights()
    with os.fdopen(order.source_fd, "rb") as source:
        try:
            if order.action == "probe":
                return reading.look(source, order.max_duration_s, order.track)
            with os.fdopen(order.output_fd, "wb", buffering=0) as output:
                return reading.decode(source, output, order.max_duration_s, order.track)
        except reading.FileRefused as refused:
            return MediaFailure(refused.code, str(refused))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return MediaFailure("disk_full", "There is no space left for the samples.")


def main() -> None:
    """Answer, and exit with 0, also if the file is refused."""
    order = msgspec.json.decode(sys.argv[1], type=MediaOrder)
    answer = answer_to(order)
    with os.fdopen(order.answer_fd, "wb") as file:
        file.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
