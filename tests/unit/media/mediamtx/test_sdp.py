"""The codecs of the picture in WHIP's offers and answers."""

from airnode.media.mediamtx.sdp import prefer_h264, unplayable_video

HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n"


def video(*codecs: str) -> str:
    types = " ".join(str(96 + index) for index in range(len(codecs)))
    maps = "".join(f"a=rtpmap:{96 + index} {codec}/90000\r\n" for index, codec in enumerate(codecs))
    return f"m=video 9 UDP/TLS/RTP/SAVPF {types}\r\na=mid:1\r\n{maps}"


def test_h264_becomes_the_first_codec_and_nothing_else_changes():
    answer = HEAD + AUDIO + video("VP8", "rtx", "H264", "rtx", "H264", "AV1")
    assert prefer_h264(answer) == answer.replace("SAVPF 96 97 98 99 100 101", "SAVPF 98 100 96 97 99 101")


def test_an_answer_without_h264_or_without_picture_stays_as_it_is():
    for answer in (HEAD + AUDIO, HEAD + video("VP8", "rtx"), "", "no SDP"):
        assert prefer_h264(answer) == answer


def test_an_offer_is_refused_by_the_names_of_its_codecs_if_none_can_be_played():
    assert unplayable_video(HEAD + AUDIO + video("VP8", "rtx", "VP9", "VP8", "red", "ulpfec")) == "VP8, VP9"
    assert unplayable_video(HEAD + AUDIO + video("VP8", "H264")) == ""
    assert unplayable_video(HEAD + AUDIO) == "", "sound only"
    assert unplayable_video("no SDP") == ""
