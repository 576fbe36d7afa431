"""The examiner: every ingest's events, and the change of a track's codec."""

from airnode.media.codecs import aac, avc, hevc
from airnode.media.frames import CodecRecord, Frame, IngestEvent, MediaEvent, StreamMetadata
from airnode.media.samples.examiner import Examiner
from airnode.media.samples.findings import Findings
from tests.support.samples import AVCC, HEVC_IDR, HVCC, IDR, INTER, STEREO, STEREO_FRAME, sized


def video(at_90k: int, data: bytes, *, is_key: bool = False) -> Frame:
    return Frame("video", at_90k, 0, data, is_key, 0.0)


def examine(*events: IngestEvent) -> list[MediaEvent]:
    examiner = Examiner(Findings())
    return examiner.examine(events, 0.0) + examiner.finish()


def test_configurations_that_an_ingest_has_parsed_are_examined_like_records() -> None:
    key, sound = video(0, sized(IDR), is_key=True), Frame("audio", 0, 0, STEREO_FRAME, True, 0.0)
    metadata = StreamMetadata(encoder="OBS")
    expected = [metadata, avc.parse_avcc(AVCC), aac.parse_asc(STEREO), sound, key]
    assert examine(metadata, avc.parse_avcc(AVCC), aac.parse_asc(STEREO), key, sound) == expected
    assert examine(metadata, CodecRecord("avc", AVCC), CodecRecord("aac", STEREO), key, sound) == expected
    # A wrong profile of a parsed configuration is repaired as well.
    assert examine(avc.parse_avcc(AVCC[:1] + bytes(3) + AVCC[4:]), key) == [avc.parse_avcc(AVCC), key]


def test_another_codec_takes_the_place_of_the_first_behind_what_was_held_back() -> None:
    key, inter = video(0, sized(IDR), is_key=True), video(3000, sized(INTER))
    other = video(6000, sized(HEVC_IDR), is_key=True)
    events = [CodecRecord("avc", AVCC), key, inter, CodecRecord("hevc", HVCC), other]
    assert examine(*events) == [avc.parse_avcc(AVCC), key, inter, hevc.parse_hvcc(HVCC), other]
