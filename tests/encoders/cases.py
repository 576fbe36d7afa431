"""The cases: what an encoder sends, and the expected result on the four outputs."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.encoders.stream import Stream


@dataclass(frozen=True)
class Case:
    """One unusual behaviour of an encoder.

    Attributes:
        make: returns the stream; called when the case runs, because it may run ffmpeg.
        kind: a name for similar cases.
        late_s: students join this long after the encoder; 0: they are there when it begins.
        refused: a part of the sentence that ends the publish; None: the class must play.
        counts_pictures: false: the playback time must move, not the pictures.
        said: the code of a finding that the studio must show; ``key_frames``: its advice about their interval.
        hidden_in: outputs that show no picture to a student who joins late, which the studio says.
        seconds: how long the stream is sent.
        first_s: the picture must come within this time of a join.
        still_s: the longest time for which the picture may stand still afterwards.
        file_still_s: the same in the recording and its download, in seconds of media.
        in_browser: false: FFmpeg decodes the outputs, because Debian's Chromium does not have the codec.
    """

    kind: str
    make: Callable[[], Stream]
    late_s: float = 0.0
    refused: str | None = None
    counts_pictures: bool = True
    said: str = ""
    hidden_in: tuple[str, ...] = ()
    seconds: float = 9.0
    first_s: float = 4.0
    still_s: float = 1.0
    file_still_s: float = 4.5
    in_browser: bool = True


def all_cases() -> dict[str, Case]:
    from tests.encoders import (
        clock_cases,
        device_cases,
        hevc_cases,
        media_cases,
        protocol_cases,
        sample_cases,
        variant_cases,
    )

    modules = (
        sample_cases,
        protocol_cases,
        media_cases,
        device_cases,
        variant_cases,
        clock_cases,
        hevc_cases,
    )
    return {name: case for module in modules for name, case in module.CASES.items()}
