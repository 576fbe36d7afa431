"""Which publishers are accepted, by the codecs that MediaMTX lists."""

import pytest

from airnode.media.frames import RefusedTrack
from airnode.media.mediamtx.tracks import TrackReport, report_tracks


@pytest.mark.parametrize(
    "names", [["H264", "MPEG-4 Audio"], ["H265", "Opus"], ["AV1"], ["Opus"], ["H264", "KLV"], ["VP8", "H264"], []]
)
def test_playable_tracks_are_accepted_without_a_remark(names: list[str]):
    assert report_tracks(names) == TrackReport()


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (["VP8", "Opus"], [("video", "VP8")]),
        (["M-JPEG"], [("video", "M-JPEG")]),
        (["G711"], [("audio", "G.711")]),
        (["VP9", "AC3"], [("video", "VP9"), ("audio", "AC-3")]),
    ],
)
def test_a_publisher_without_a_playable_picture_is_refused_by_the_name_of_its_codec(
    names: list[str], refused: list[tuple]
):
    assert report_tracks(names) == TrackReport(tuple(RefusedTrack(*each) for each in refused), is_playable=False)


@pytest.mark.parametrize(("name", "shown"), [("G711", "G.711"), ("MPEG-1/2 Audio", "MP3"), ("AC3", "AC-3")])
def test_sound_that_cannot_be_played_is_named_and_the_picture_accepted(name: str, shown: str):
    assert report_tracks(["H264", name]) == TrackReport((RefusedTrack("audio", shown),), is_playable=True)
