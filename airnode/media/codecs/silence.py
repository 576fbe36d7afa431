"""Frames of silence, which fill holes in the audio."""

from typing import Final

from airnode.media.codecs.aac import channel_elements
from airnode.media.codecs.bits import BitstreamError
from airnode.media.frames import AudioConfig

#: An individual_channel_stream without spectral data (ISO 14496-3 4.4.2.1): global_gain, ics_reserved_bit,
#: window_sequence, window_shape, max_sfb, predictor_data_present, and pulse, TNS and gain control data.
_CHANNEL: Final = "00000000" + "0" + "00" + "0" + "000000" + "0" + "0" + "0" + "0"
#: {id of an element: its channels}. A channel pair has no common window.
_CHANNELS: Final = {0: _CHANNEL, 1: "0" + _CHANNEL * 2, 3: _CHANNEL}
_END: Final = "111"
#: {samples of a frame: CELT mode of RFC 6716 3.1, full band}.
_CELT_MODES: Final = {120: 28, 240: 29, 480: 30, 960: 31}
_SILENT_CELT: Final = b"\xff\xfe"


def silence(config: AudioConfig) -> bytes | None:
    """Return a silent frame of ``samples_per_frame`` samples; None: airnode cannot make one for this configuration."""
    return silent_opus(config) if config.codec == "opus" else silent_aac(config)


def silent_opus(config: AudioConfig) -> bytes | None:
    """Return an Opus packet of one CELT frame with the silence flag for each stream (RFC 6716 3.1, 4.3).

    All streams but the last are self-delimiting (RFC 6716 appendix B). None: frames are longer than
    20 ms, or the dOps box is cut short.
    """
    mode = _CELT_MODES.get(config.samples_per_frame)
    record = config.record
    if mode is None:
        return None
    streams = 1
    if len(record) > 10 and record[10]:  # channel mapping family
        if len(record) < 12 or not record[11]:
            return None
        streams = record[11]
    toc = bytes((mode << 3,))
    return (toc + bytes((len(_SILENT_CELT),)) + _SILENT_CELT) * (streams - 1) + toc + _SILENT_CELT


def silent_aac(config: AudioConfig) -> bytes | None:
    """Return a raw_data_block without spectral data (ISO 14496-3 4.4.2.1), for all layouts of AAC-LC and HE-AAC.

    HE-AAC gets no SBR data: decoders then only double the rate. None: the configuration cannot be read.
    """
    try:
        elements = channel_elements(config.record)
    except BitstreamError:
        return None
    bits = "".join(f"{kind:03b}{tag:04b}{_CHANNELS[kind]}" for kind, tag in elements) + _END
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
