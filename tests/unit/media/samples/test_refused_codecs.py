"""Codecs that browsers cannot play: the other track goes on, and without one the publish ends with their names."""

import pytest

from airnode.bus.messages import Notice
from airnode.media.codecs.bits import UnsupportedCodec
from airnode.media.frames import AudioConfig, CodecRecord, ExtraTrack, Frame, IngestEvent, RefusedTrack
from airnode.media.samples.examiner import OTHER_TRACK_WAIT_S, Examiner
from airnode.media.samples.findings import Findings

NOW_S = 1_700_000_000.0
AAC = CodecRecord("aac", bytes.fromhex("1210"))
#: An AudioSpecificConfig of AAC Main, which browsers do not play.
AAC_MAIN = CodecRecord("aac", bytes.fromhex("0990"))
SOUND = Frame("audio", 0, 0, b"\x21\x10\x04\x60\x8c\x1c", True, NOW_S)
VP9, MP3 = RefusedTrack("video", "VP9"), RefusedTrack("audio", "MP3")


class Stream:
    """An examiner and what it passed on."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.examiner = Examiner(self.findings)

    def send(self, *events: IngestEvent, at_s: float = 0.0) -> list[type]:
        return [type(event) for event in self.examiner.examine(events, NOW_S + at_s)]

    def refusal(self, *events: IngestEvent, at_s: float = 0.0) -> str:
        with pytest.raises(UnsupportedCodec) as caught:
            self.send(*events, at_s=at_s)
        return caught.value.detail


def test_the_other_track_goes_on() -> None:
    stream = Stream()
    assert stream.send(VP9) == []
    assert stream.send(AAC, SOUND, at_s=1.0) == [AudioConfig, Frame]
    for second in range(2, 30):
        assert stream.send(VP9, SOUND, at_s=second) == [Frame]
    assert stream.findings.counts == {("video", "video_codec"): 29}
    sentence = "The picture comes in the codec VP9, which browsers cannot play. Choose H.264 as the video encoder."
    assert stream.findings.notices(NOW_S + 30) == [Notice("video_codec", sentence, {"codec": "VP9"}, "warning")]


def test_without_another_track_the_publish_ends() -> None:
    stream = Stream()
    assert stream.send(VP9, VP9) == []
    assert stream.send(VP9, at_s=OTHER_TRACK_WAIT_S - 0.1) == []
    refusal = stream.refusal(VP9, at_s=OTHER_TRACK_WAIT_S)
    assert refusal == "The codec VP9 cannot be played in browsers; send H.264."


def test_two_tracks_that_cannot_be_played_end_it_at_once() -> None:
    stream = Stream()
    stream.send(VP9)
    refusal = stream.refusal(MP3)
    assert refusal == "The codec VP9 and the codec MP3 cannot be played in browsers; send H.264 and AAC."


def test_single_messages_of_another_codec_do_not_end_a_track():
    stream = Stream()
    stream.send(CodecRecord("avc", b""), AAC, SOUND)
    for second in range(20):
        assert stream.send(MP3, at_s=float(second)) == []
        assert stream.send(SOUND, at_s=second + 0.5) == [Frame]


def test_a_codec_that_changes_in_mid_stream() -> None:
    stream = Stream()
    stream.send(CodecRecord("avc", b""), AAC, SOUND)
    assert stream.send(MP3, at_s=60.0) == []
    assert stream.send(MP3, at_s=90.0) == []
    # It changes back.
    assert stream.send(AAC, SOUND, at_s=91.0) == [AudioConfig, Frame]
    # The picture cannot be played any more, later the sound cannot either.
    assert stream.send(VP9, at_s=92.0) == []
    assert stream.send(SOUND, at_s=93.0) == [Frame]
    assert stream.send(MP3, at_s=120.0) == []
    assert stream.refusal(MP3, at_s=124.0).startswith("The codec VP9 and the codec MP3 cannot")


def test_an_object_type_of_aac_that_browsers_do_not_play() -> None:
    stream = Stream()
    assert stream.send(AAC_MAIN, SOUND) == []
    assert stream.refusal(SOUND, at_s=OTHER_TRACK_WAIT_S) == (
        "The codec AAC of object type 1 cannot be played in browsers; send AAC."
    )
    stream = Stream()
    stream.send(CodecRecord("avc", b""), AAC_MAIN)
    assert stream.send(SOUND, at_s=10.0) == []
    assert stream.findings.counts["audio", "audio_codec"] == 2


def test_further_tracks_are_left_out() -> None:
    stream = Stream()
    assert stream.send(AAC, ExtraTrack("audio"), ExtraTrack("video"), SOUND) == [AudioConfig, Frame]
    assert stream.findings.counts == {("audio", "extra_track"): 1, ("video", "extra_track"): 1}
