"""Which publishers are accepted, by the codecs that MediaMTX lists."""

import pytest

from airnode.media.mediamtx.tracks import report_tracks


@pytest.mark.parametrize(
    "names",
    [["H264", "MPEG-4 Audio"], ["H265", "Opus"], ["AV1"], ["Opus"], ["H264", "KLV"], ["VP8", "H264"], []],
)
def test_playable_tracks_are_accepted_without_a_remark(names: list[str]):
    report = report_tracks(names)
    assert (report.refusal, report.unplayable_sound) == ("", "")


@pytest.mark.parametrize(
    ("names", "refusal"),
    [
        (["VP8", "Opus"], "The picture is in VP8, which browsers cannot play here."),
        (["M-JPEG"], "The picture is in M-JPEG, which browsers cannot play here."),
        (["G711"], "The sound is in G.711, which browsers cannot play here."),
        (["KLV"], "There is no track to play."),
    ],
)
def test_a_publisher_without_a_playable_picture_is_refused_by_the_name_of_its_codec(names: list[str], refusal: str):
    assert report_tracks(names).refusal == f"{refusal} Send H.264 with AAC or Opus."


@pytest.mark.parametrize(("name", "shown"), [("G711", "G.711"), ("MPEG-1/2 Audio", "MP3"), ("AC3", "AC-3")])
def test_sound_that_cannot_be_played_is_named_and_the_picture_accepted(name: str, shown: str):
    report = report_tracks(["H264", name])
    assert (report.refusal, report.unplayable_sound) == ("", shown)
