"""Malformed messages of a publish: skipped, and the end of a publisher that sends nothing else."""

import pytest

from airnode.media.rtmp.errors import MalformedMedia
from airnode.media.rtmp.events import AudioReceived, DataReceived, VideoReceived
from airnode.media.rtmp.published_media import MAX_MALFORMED, MAX_MALFORMED_S, PublishedMedia
from tests.support.rtmp import tag_audio, tag_video

VIDEO = VideoReceived(40, tag_video(1, b"\0\0\0\2\x65\x88", key=True))
NO_VIDEO = VideoReceived(40, b"\x17\x01")
NO_AUDIO = AudioReceived(40, b"")


def test_empty_sound_does_not_end_a_stream_with_a_picture() -> None:
    malformed: list[str] = []
    media = PublishedMedia(malformed.append)
    for second in range(1000):
        assert media.read(NO_AUDIO, second) == []
        assert media.read(VIDEO, second)
    assert len(malformed) == 1000


def test_a_header_that_is_late_does_not_end_a_stream() -> None:
    media = PublishedMedia(lambda detail: None)
    for index in range(500):
        assert media.read(NO_AUDIO, index * 0.019) == []
    assert media.read(AudioReceived(0, tag_audio(0, b"\x11\x90")), 10.0)
    for index in range(MAX_MALFORMED - 1):
        assert media.read(NO_AUDIO, 11.0 + index) == []


@pytest.mark.parametrize("messages", [[NO_VIDEO], [NO_VIDEO, NO_AUDIO], [NO_VIDEO, DataReceived(["onMetaData", {}])]])
def test_nothing_else_ends_a_stream(messages: list[VideoReceived | AudioReceived | DataReceived]) -> None:
    media = PublishedMedia(lambda detail: None)
    for message in messages * MAX_MALFORMED:
        media.read(message, 0.0)
    with pytest.raises(MalformedMedia, match="make no sense"):
        media.read(NO_VIDEO, MAX_MALFORMED_S)
