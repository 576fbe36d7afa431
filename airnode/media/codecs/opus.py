"""Opus: the dOps box (Encapsulation of Opus in ISO Base Media File Format, 4.3.2)."""

from airnode.media.codecs.bits import BitReader, BitstreamError
from airnode.media.samples import AudioConfig

#: Opus always decodes to this rate, whatever went into the encoder.
SAMPLE_RATE = 48_000
#: Samples of a frame of 20 ms, which is what browsers and OBS send.
USUAL_FRAME = 960


def parse_dops(record: bytes) -> AudioConfig:
    """The configuration that the body of a dOps box describes.

    Raises:
        BitstreamError: it is cut short or makes no sense.
    """
    r = BitReader(record)
    if r.u(8) != 0:
        raise BitstreamError("an Opus configuration of an unknown version")
    channels = r.u(8)
    r.skip(16 + 32 + 16)  # pre-skip, input sample rate, output gain
    if not channels:
        raise BitstreamError("Opus without channels")
    if r.u(8):  # channel mapping family
        r.skip(16 + 8 * channels)
    return AudioConfig(record, "opus", SAMPLE_RATE, channels, USUAL_FRAME, codec="opus")
