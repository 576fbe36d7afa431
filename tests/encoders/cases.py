"""The cases: what an encoder does, and what must come of it on the four outputs."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.encoders.stream import Stream


@dataclass(frozen=True)
class Case:
    """One oddity.

    Attributes:
        make: makes the stream; called when the case runs, as it may have ffmpeg make a clip.
        kind: which of the kinds it is an example of.
        late_s: students join so long after the encoder.
        refused: a piece of the sentence that ends the publish; None: the class must play.
        seconds: how long the stream is sent.
        first_s: the picture must come within this time of a join.
        still_s: the longest the picture may stand still afterwards.
    """

    kind: str
    make: Callable[[], Stream]
    late_s: float = 0.5
    refused: str | None = None
    seconds: float = 12.0
    first_s: float = 4.0
    still_s: float = 1.0


def all_cases() -> dict[str, Case]:
    from tests.encoders import media_cases, protocol_cases, sample_cases

    return {**sample_cases.CASES, **protocol_cases.CASES, **media_cases.CASES}
