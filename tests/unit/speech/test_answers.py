"""What becomes of the answers of children: right ones, errors, and nonsense of a child that was taken over."""

import msgspec
import pytest

from airnode.processes.child import ExitReason
from airnode.speech import errors
from airnode.speech.media.child import answer_in
from airnode.speech.media.messages import DecodedAudio, MediaFailure


def given(message: msgspec.Struct) -> bytes:
    return msgspec.json.encode(message)


def test_an_answer_is_the_answer():
    decoded = DecodedAudio(16_000, 0, False)
    assert answer_in(given(decoded), 0, ExitReason.EXITED, "") == decoded


@pytest.mark.parametrize(
    ("body", "exit_code", "reason", "kind"),
    [
        (given(MediaFailure("empty_media", "Nothing.")), 0, ExitReason.EXITED, errors.EmptyMedia),
        (given(MediaFailure("no_audio_track", "No sound.")), 0, ExitReason.EXITED, errors.NoAudioTrack),
        (given(MediaFailure("internal", "A code of nobody.")), 0, ExitReason.EXITED, errors.UnreadableMedia),
        (given(MediaFailure("disk_full", "Full.")), 0, ExitReason.EXITED, OSError),
        (b'{"type": "DecodedAudio", "samples": "many"}', 0, ExitReason.EXITED, errors.DecodingFailed),
        (b"\xff" * 100, 0, ExitReason.EXITED, errors.DecodingFailed),
        (b"", 0, ExitReason.EXITED, errors.DecodingFailed),
        (given(DecodedAudio(1, 0, False)), -11, ExitReason.SIGNAL, errors.DecodingFailed),
        (b"", -24, ExitReason.CPU_TIME, errors.DecodingFailed),
    ],
)
def test_everything_else_is_an_error(body: bytes, exit_code: int, reason: ExitReason, kind: type[Exception]):
    with pytest.raises(kind):
        answer_in(body, exit_code, reason, "some output")


def test_a_library_that_is_not_installed_is_said():
    with pytest.raises(errors.SpeechMissing, match=r"airnode\[stt\]"):
        answer_in(b"", 1, ExitReason.EXITED, "ModuleNotFoundError: No module named 'av'")
