"""What is published and cannot be played is an alarm with its reason, which ends by itself."""

import pytest
from msgspec.structs import replace

from airnode.media.frames import VideoConfig
from airnode.media.room.playability import REASONS, UNPLAYABLE_AFTER_S, why_not_playable
from airnode.media.samples.findings import Findings
from tests.support.publisher import AUDIO, VIDEO, Recorder, audio, interleave, video

T0 = Recorder().start_unix_s


def reason(recorder: Recorder, at_s: float, findings: Findings | None = None) -> str:
    """Return the code of the alarm this long after the publisher joined; empty: there is none."""
    found = why_not_playable(T0 + at_s, T0, recorder.packager.received, findings or Findings())
    return found.code if found is not None else ""


def test_a_stream_that_plays_is_no_alarm():
    recorder = Recorder().configure(VIDEO, AUDIO).push(interleave(video(30, 10), audio(10)))
    assert reason(recorder, 10) == ""


def test_an_encoder_gets_some_seconds_to_begin():
    assert reason(Recorder(), UNPLAYABLE_AFTER_S - 0.1) == ""
    assert reason(Recorder(), UNPLAYABLE_AFTER_S) == "unplayable_no_media"


@pytest.mark.parametrize(
    ("configs", "code"), [((VIDEO, AUDIO), "unplayable_no_frames"), ((AUDIO,), "unplayable_only_sound")]
)
def test_announced_and_never_sent(configs: tuple[VideoConfig, ...], code: str):
    assert reason(Recorder().configure(*configs), 6) == code


def test_video_without_a_key_frame():
    recorder = Recorder().configure(VIDEO)
    recorder.push((at, replace(frame, is_key=False)) for at, frame in video(30, 6))
    assert reason(recorder, 6) == "unplayable_no_key_frame"


@pytest.mark.parametrize(
    ("finding", "code"),
    [
        ("no_config", "unplayable_no_config"),
        ("video_codec", "unplayable_codec"),
        ("cut_frame", "unplayable_invalid"),
        ("empty", "unplayable_no_media"),
    ],
)
def test_frames_that_the_examiner_drops(finding: str, code: str):
    findings = Findings()
    findings.add("video", finding, T0 + 1, codec="VP8")
    assert reason(Recorder(), 6, findings) == code


def test_the_alarm_ends_with_the_first_playable_frame_and_comes_back_when_they_stop():
    recorder = Recorder().configure(VIDEO)
    pictures = list(video(30, 20))
    recorder.push((at, replace(frame, is_key=False)) for at, frame in pictures if at < 6)
    assert reason(recorder, 6)
    recorder.push(timed for timed in pictures if 6 <= timed[0] < 9)
    assert reason(recorder, 9) == ""
    assert reason(recorder, 15) == "unplayable_no_media"


def test_each_reason_says_what_to_do():
    assert all(code.startswith("unplayable_") and sentence.count(".") >= 2 for code, sentence in REASONS.items())
