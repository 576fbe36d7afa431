"""Codec configurations made by x264, x265, libaom, SVT-AV1, rav1e and FFmpeg's AAC encoder, and hostile ones."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.codecs import aac, av1, avc, hevc
from airnode.media.codecs.bits import BitReader, BitstreamError, unescape

NTSC = 30000 / 1001

# fmt: off
AVC = [
    # Constrained Baseline; High 1080p with cropping; Main with cropping; interlaced; scaling matrices with SAR and
    # colours; High 4:4:4; High 4:2:2 with 10 bits.
    ("0142c01effe100196742c01eda0280bfe5c044000003000400000300f03c58ba8001000468ce0fc8",
     "avc1.42c01e", 640, 360, 30),
    ("01640028ffe1001967640028acd940780227e5c04400000fa40003a9803c60c65801000668ebe3cb22c0fdf8f800",
     "avc1.640028", 1920, 1080, NTSC),
    ("014d401effe10018674d401eeca06c1ef37808800000030080000019078b16cb01000568ebe3cb20",
     "avc1.4d401e", 854, 480, 25),
    ("0164001effe100186764001eacd940b424d8088000000300800000190f8a14cb01000668fba3cb22c0fdf8f800",
     "avc1.64001e", 720, 576, 25),
    ("0164000dffe100226764000dacd94150878888ffc1e4016a5a808080a0000003002000000601e28532c001000768ebe3cb3002c0fdf8f800",
     "avc1.64000d", 322, 242, 24),
    ("01f40015ffe10019"
     "67f40015919b282a3fc7f80880000003008000003c078b16cb01000668ebe3c44844fff8f800",
     "avc1.f40015", 322, 240, 60),
    ("017a0015ffe10019677a0015b6cd94141fb011000003000100000300640f162d9601000668ebe3cb22c0fefafa00",
     "avc1.7a0015", 320, 240, 50),
]
HEVC = [
    # Main; Main 1080p; Main 10; default scaling lists with SAR, colours and overscan; Main 4:4:4 (range extensions).
    ("0101600000009000000000003ff000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003f959409a10001002b"
     "42010101600000030090000003000003003fa005020171f2e595952930bc05a020000003002000000303c1a2000100064401c073c189",
     "hvc1.1.6.L63.90", 640, 360, 30),
    ("01016000000090000000000078f000fcfdf8f800000f03a00001001840010c01ffff016000000300900000030000030078959409a10001002b"
     "420101016000000300900000030000030078a003c0801107cb965654a4c2f0168080000003008000000c84a2000100064401c073c189",
     "hvc1.1.6.L120.90", 1920, 1080, 25),
    ("0102200000009000000000005af000fcfdfafa00000f03a00001001840010c01ffff02200000030090000003000003005a959409a10001002a"
     "42010102200000030090000003000003005aa006c201e1cdb6595952930bc05a02000007d20000ea6010a2000100064401c073c189",
     "hvc1.2.4.L90.90", 854, 480, NTSC),
    ("0101600000009000000000003cf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003c959409a10001002f"
     "42010101600000030090000003000003003ca00a8804071111965654a4e17825b808080d2080000003008000000c04a2000100064401c073c189",
     "hvc1.1.6.L60.90", 322, 242, 24),
    ("0104080000009e08000000003cf000fcfff8f800000f03a00001001740010c01ffff0408000003009e0800000300003c959409a10001002c"
     "4201010408000003009e0800000300003c9001510080e3e3f2caca94985e02d0100000030010000003018080a2000100084401c07318301890",
     "hvc1.4.10.L60.9E.8", 322, 242, 24),
]
AV1 = [
    ("81010c000a0b0000000cc4ff6736be4010", "av01.0.01M.08", 640, 360),
    ("81080c000a0b00000042abbfc3700be001", "av01.0.08M.08", 1920, 1080),
    ("81044c000a0b00000024c6abdf00be1010", "av01.0.04M.10", 854, 480),
    ("811f0c000a0e000000fa1e7fde210a88101010a0", "av01.0.31M.08", 320, 240),
]
AAC = [
    # FFmpeg: mono, stereo, 5.1 (with "no SBR" behind); then explicit and backward compatible HE-AAC and HE-AAC v2.
    ("118856e500", "mp4a.40.2", 48000, 1, 1024),
    ("121056e500", "mp4a.40.2", 44100, 2, 1024),
    ("11b056e500", "mp4a.40.2", 48000, 6, 1024),
    ("1190", "mp4a.40.2", 48000, 2, 1024),
    ("1194", "mp4a.40.2", 48000, 2, 960),
    ("2b118800", "mp4a.40.5", 24000, 2, 1024),
    ("eb098800", "mp4a.40.29", 24000, 2, 1024),
    ("131056e598", "mp4a.40.5", 24000, 2, 1024),
    ("130856e59d4880", "mp4a.40.29", 24000, 2, 1024),
    # sampling frequency written out: 00010 1111 (44,056) 0010 000
    ("17805 60c1000".replace(" ", ""), "mp4a.40.2", 44056, 2, 1024),
]
# fmt: on


@pytest.mark.parametrize(("record", "codecs", "width", "height", "rate"), AVC)
def test_avcc(record: str, codecs: str, width: int, height: int, rate: float) -> None:
    config = avc.parse_avcc(bytes.fromhex(record))
    assert (config.codec, config.codecs, config.width, config.height) == ("avc", codecs, width, height)
    assert config.frame_rate == pytest.approx(rate)
    assert config.record == bytes.fromhex(record)


@pytest.mark.parametrize(("record", "codecs", "width", "height", "rate"), HEVC)
def test_hvcc(record: str, codecs: str, width: int, height: int, rate: float) -> None:
    config = hevc.parse_hvcc(bytes.fromhex(record))
    assert (config.codec, config.codecs, config.width, config.height) == ("hevc", codecs, width, height)
    assert config.frame_rate == pytest.approx(rate)


def test_codec_string_example_of_the_standard() -> None:
    # ISO 14496-15 E.3: Main profile, Main tier, level 3.1, progressive, frame only.
    record = bytes.fromhex("01" + "01" + "60000000" + "b00000000000" + "5d")
    assert hevc.codec_string(record) == "hvc1.1.6.L93.B0"
    # Profile space 1 (A), profile 1, high tier, all constraint bytes.
    assert hevc.codec_string(bytes.fromhex("01" + "61" + "60000000" + "010203040506" + "5d")) == (
        "hvc1.A1.6.H93.1.2.3.4.5.6"
    )


@pytest.mark.parametrize(("record", "codecs", "width", "height"), AV1)
def test_av1c(record: str, codecs: str, width: int, height: int) -> None:
    config = av1.parse_av1c(bytes.fromhex(record))
    assert (config.codec, config.codecs, config.width, config.height) == ("av1", codecs, width, height)
    assert config.frame_rate is None


def _bits(*fields: tuple[int, int]) -> bytes:
    text = "".join(f"{value:0{size}b}" for value, size in fields)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def test_av1_sequence_header_with_timing_and_decoder_model() -> None:
    body = _bits(
        (0, 3),
        (0, 1),
        (0, 1),  # profile, still picture, reduced header
        (1, 1),
        (1001, 32),
        (60000, 32),
        (1, 1),
        (0b010, 3),  # timing: equal intervals of 2 ticks (uvlc 1)
        (1, 1),
        (9, 5),
        (1, 32),
        (9, 5),
        (9, 5),  # decoder model: delays of 10 bits
        (1, 1),
        (1, 5),  # initial display delay; two operating points
        (0x101, 12),
        (8, 5),
        (0, 1),
        (1, 1),
        (3, 10),
        (4, 10),
        (0, 1),
        (1, 1),
        (5, 4),
        (0x001, 12),
        (4, 5),
        (0, 1),
        (0, 1),
        (10, 4),
        (9, 4),
        (1279, 11),
        (719, 10),
    )
    assert av1.parse_sequence_header(body) == (1280, 720, pytest.approx(NTSC))


def test_av1_reduced_still_picture_header() -> None:
    assert av1.parse_sequence_header(_bits((0, 3), (1, 1), (1, 1), (4, 5), (7, 4), (7, 4), (255, 8), (99, 8))) == (
        256,
        100,
        None,
    )


@pytest.mark.parametrize("row", AVC)
def test_avcc_is_written_as_x264_writes_it(row: tuple[str, str, int, int, float]) -> None:
    record = bytes.fromhex(row[0])
    parts = avc.read_avcc(record)
    assert parts.length_size == 4
    assert avc.write_avcc(parts.sps, parts.pps) == record


@pytest.mark.parametrize("row", HEVC)
def test_hvcc_is_written_as_ffmpeg_writes_it(row: tuple[str, str, int, int, float]) -> None:
    record = bytes.fromhex(row[0])
    length_size, (vps, sps, pps) = hevc.read_hvcc(record)
    assert length_size == 4
    assert hevc.write_hvcc([vps], [sps], [pps]) == record


@pytest.mark.parametrize(("record", "codecs", "rate", "channels", "samples"), AAC)
def test_audio_specific_config(record: str, codecs: str, rate: int, channels: int, samples: int) -> None:
    config = aac.parse_asc(bytes.fromhex(record))
    assert (config.codecs, config.sample_rate, config.channels, config.samples_per_frame) == (
        codecs,
        rate,
        channels,
        samples,
    )


def test_audio_channels_of_a_program_config_element() -> None:
    record = _bits(
        (2, 5),
        (3, 4),
        (0, 4),
        (0, 1),
        (0, 1),
        (0, 1),  # LC, 48 kHz, channels given by the element
        (0, 4),
        (1, 2),
        (3, 4),
        (2, 4),
        (0, 4),
        (1, 4),
        (1, 2),
        (0, 3),
        (0, 4),
        (0, 3),
        (0, 5),
        (0b10000, 5),
        (0b10001, 5),
        (0, 4),  # one single and one pair in front, a pair behind, LFE
        (0, 5),
        (0, 8),
    )
    assert aac.parse_asc(record).channels == 6


@pytest.mark.parametrize("kind", [1, 4, 23, 39, 42])
def test_other_aac_object_types_are_named(kind: int) -> None:
    head = [(kind, 5)] if kind < 31 else [(31, 5), (kind - 32, 6)]
    with pytest.raises(aac.UnsupportedObjectType, match=f"object type {kind}"):
        aac.parse_asc(_bits(*head, (3, 4), (2, 4), (0, 3), (0, 16)))


def test_exp_golomb() -> None:
    reader = BitReader(_bits((0b1, 1), (0b010, 3), (0b011, 3), (0b00100, 5), (0b00101, 5), (0b010, 3), (0b011, 3)))
    assert [reader.ue() for _ in range(5)] == [0, 1, 2, 3, 4]
    assert [reader.se(), reader.se()] == [1, -1]
    with pytest.raises(BitstreamError):
        BitReader(bytes(64)).ue()


def test_emulation_prevention() -> None:
    assert unescape(bytes.fromhex("000003000003010000030003")) == bytes.fromhex("00000000010000000 3".replace(" ", ""))


PARSERS = {
    "avc": (avc.parse_avcc, [bytes.fromhex(row[0]) for row in AVC]),
    "hevc": (hevc.parse_hvcc, [bytes.fromhex(row[0]) for row in HEVC]),
    "av1": (av1.parse_av1c, [bytes.fromhex(row[0]) for row in AV1]),
    "aac": (aac.parse_asc, [bytes.fromhex(row[0]) for row in AAC]),
}


@pytest.mark.parametrize("name", PARSERS)
def test_every_truncation_is_an_error_or_a_configuration(name: str) -> None:
    parse, records = PARSERS[name]
    for record in records:
        for end in range(len(record)):
            try:
                parse(record[:end])
            except BitstreamError:
                continue


@pytest.mark.parametrize("name", PARSERS)
@settings(deadline=None)
@given(data=st.data())
def test_damaged_records_raise_only_bitstream_errors(name: str, data: st.DataObject) -> None:
    parse, records = PARSERS[name]
    record = bytearray(data.draw(st.sampled_from(records)))
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(record) - 1), st.integers(0, 255)), max_size=8)):
        record[at] = value
    tail = data.draw(st.binary(max_size=64))
    try:
        config = parse(bytes(record) + tail)
    except BitstreamError:
        return
    if hasattr(config, "width"):
        assert 1 <= config.width <= 16384
        assert 1 <= config.height <= 16384


@pytest.mark.parametrize("name", PARSERS)
@settings(deadline=None)
@given(record=st.binary(max_size=5000))
def test_any_bytes_raise_only_bitstream_errors(name: str, record: bytes) -> None:
    parse, _ = PARSERS[name]
    with contextlib.suppress(BitstreamError):
        parse(record)
