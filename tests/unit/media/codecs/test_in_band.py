"""Parameter sets within key frames."""

from airnode.media.codecs.in_band import parameter_sets, with_parameter_sets
from airnode.media.frames import VideoConfig
from tests.support.samples import AUD, AVCC, HEVC_IDR, HVCC, IDR, nals_of, sized


def config(codec, record: bytes) -> VideoConfig:
    return VideoConfig(codec, record, "", 640, 360)


def test_all_sets_of_a_record_stand_before_the_picture():
    kinds = [nal[0] & 0x1F for nal in nals_of(with_parameter_sets(sized(IDR), parameter_sets(config("avc", AVCC))))]
    assert kinds == [7, 8, 5]
    nals = nals_of(with_parameter_sets(sized(HEVC_IDR), parameter_sets(config("hevc", HVCC))))
    assert [nal[0] >> 1 & 0x3F for nal in nals] == [32, 33, 34, 19]


def test_an_access_unit_delimiter_stays_first():
    sets = parameter_sets(config("avc", AVCC))
    assert [nal[0] & 0x1F for nal in nals_of(with_parameter_sets(sized(AUD, IDR), sets))] == [9, 7, 8, 5]
    sets = parameter_sets(config("hevc", HVCC))
    nals = nals_of(with_parameter_sets(sized(b"\x46\x01\x50", HEVC_IDR), sets))
    assert [nal[0] >> 1 & 0x3F for nal in nals] == [35, 32, 33, 34, 19]


def test_other_records_give_no_sets():
    assert parameter_sets(config("av1", b"\x81\0\0\0")) == b""
    assert parameter_sets(config("avc", b"\1\2")) == b""
    assert parameter_sets(config("avc", bytes.fromhex("0142c01effe1000000"))) == b""
