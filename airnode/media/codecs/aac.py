"""AAC: the AudioSpecificConfig (ISO 14496-3 1.6.2.1)."""

from typing import Final

from airnode.media.codecs.bits import BitReader, BitstreamError
from airnode.media.frames import AudioConfig

_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
#: {channelConfiguration: channels}; with 0 a program config element gives the number.
_CHANNELS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 14: 8}
#: Ids of syntactic elements (4.5.2.1.1): single channel, channel pair, low frequencies.
_SCE, _CPE, _LFE = 0, 1, 3
#: {channelConfiguration: the elements of a frame} (table 1.19).
_ELEMENTS: Final = {
    1: (_SCE,),
    2: (_CPE,),
    3: (_SCE, _CPE),
    4: (_SCE, _CPE, _SCE),
    5: (_SCE, _CPE, _CPE),
    6: (_SCE, _CPE, _CPE, _LFE),
    7: (_SCE, _CPE, _CPE, _CPE, _LFE),
    11: (_SCE, _CPE, _CPE, _SCE, _LFE),
    12: (_SCE, _CPE, _CPE, _CPE, _LFE),
    14: (_SCE, _CPE, _CPE, _LFE, _CPE),
}
_LC, _SBR, _PS = 2, 5, 29
_SYNC_SBR, _SYNC_PS = 0x2B7, 0x548


class UnsupportedObjectType(BitstreamError):
    """An AAC object type that browsers do not play."""


def parse_asc(record: bytes) -> AudioConfig:
    """Return the configuration in an AudioSpecificConfig: AAC-LC, or HE-AAC (v2) with explicit signalling.

    Raises:
        UnsupportedObjectType: another AAC object type.
        BitstreamError: it is cut short or invalid.
    """
    r = BitReader(record)
    kind = declared = _object_type(r)
    rate = _sample_rate(r)
    layout = r.u(4)
    if kind in (_SBR, _PS):
        _sample_rate(r)
        kind = _object_type(r)
    if kind != _LC:
        raise UnsupportedObjectType(f"AAC of object type {kind}")
    samples = 960 if r.flag() else 1024
    if r.flag():  # dependsOnCoreCoder
        r.skip(14)
    r.skip(1)  # extensionFlag
    channels = _CHANNELS.get(layout) if layout else _program_config_channels(r)
    if channels is None:
        raise BitstreamError(f"channel configuration {layout}")
    if declared == _LC:
        declared = _backward_compatible_type(r)
    if declared == _PS:
        channels = 2
    return AudioConfig(record, f"mp4a.40.{declared}", rate, channels, samples)


def channel_elements(record: bytes) -> list[tuple[int, int]]:
    """Return the elements of each frame, as (id of the element, its instance tag).

    Raises:
        BitstreamError: the AudioSpecificConfig is cut short or invalid.
    """
    r = BitReader(record)
    kind = _object_type(r)
    _sample_rate(r)
    layout = r.u(4)
    if layout:
        if layout not in _ELEMENTS:
            raise BitstreamError(f"channel configuration {layout}")
        kinds = _ELEMENTS[layout]
        return [(each, kinds[:index].count(each)) for index, each in enumerate(kinds)]
    if kind in (_SBR, _PS):
        _sample_rate(r)
        _object_type(r)
    r.skip(1)  # frameLengthFlag
    if r.flag():  # dependsOnCoreCoder
        r.skip(14)
    r.skip(1)  # extensionFlag
    return _program_config_elements(r)


def channel_configuration(record: bytes) -> int:
    """Return the channelConfiguration of an AudioSpecificConfig; 0: a program config element gives the channels.

    Raises:
        BitstreamError: it is cut short or invalid.
    """
    r = BitReader(record)
    _object_type(r)
    _sample_rate(r)
    return r.u(4)


def with_channel_configuration(record: bytes, layout: int) -> bytes:
    """Return an AudioSpecificConfig with another channelConfiguration.

    Raises:
        BitstreamError: it is cut short or invalid.
    """
    r = BitReader(record)
    _object_type(r)
    _sample_rate(r)
    r.u(4)
    value = int.from_bytes(record, "big")
    return (value & ~(0xF << r.bits_left) | layout << r.bits_left).to_bytes(len(record), "big")


def write_asc(object_type: int, rate_index: int, layout: int) -> bytes:
    """Return an AudioSpecificConfig of two bytes, for frames of 1024 samples."""
    return (object_type << 11 | rate_index << 7 | layout << 3).to_bytes(2, "big")


def _object_type(r: BitReader) -> int:
    kind = r.u(5)
    return 32 + r.u(6) if kind == 31 else kind


def _sample_rate(r: BitReader) -> int:
    index = r.u(4)
    if index == 15:
        rate = r.u(24)
        if not 1000 <= rate <= 192_000:
            raise BitstreamError(f"a sample rate of {rate} Hz")
        return rate
    if index >= len(_RATES):
        raise BitstreamError(f"sampling frequency index {index}")
    return _RATES[index]


def _program_config_channels(r: BitReader) -> int:
    """Return the number of channels of a program_config_element."""
    return sum(2 if kind == _CPE else 1 for kind, _ in _program_config_elements(r))


def _program_config_elements(r: BitReader) -> list[tuple[int, int]]:
    """Return the elements of a program_config_element (ISO 14496-3 4.5.2.1), as (id, instance tag)."""
    r.skip(10)
    front, side, back, lfe = r.u(4), r.u(4), r.u(4), r.u(2)
    data, coupling = r.u(3), r.u(4)
    for bits in (4, 4, 3):  # mono, stereo and matrix mixdown
        if r.flag():
            r.skip(bits)
    elements = [(_CPE if r.flag() else _SCE, r.u(4)) for _ in range(front + side + back)]
    elements += [(_LFE, r.u(4)) for _ in range(lfe)]
    r.skip(4 * data + 5 * coupling)
    r.skip(r.bits_left % 8)
    r.skip(8 * r.u(8))  # comment
    if not elements:
        raise BitstreamError("a program without channels")
    return elements


def _backward_compatible_type(r: BitReader) -> int:
    """Return the object type in the extension after an AAC-LC configuration."""
    if r.bits_left < 16 or r.u(11) != _SYNC_SBR or r.u(5) != _SBR or not r.bits_left or not r.flag():
        return _LC
    if r.bits_left >= 4:
        _sample_rate(r)
    if r.bits_left >= 12 and r.u(11) == _SYNC_PS and r.flag():
        return _PS
    return _SBR
