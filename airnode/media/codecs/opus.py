"""Opus: the dOps box (Encapsulation of Opus in ISO Base Media File Format, 4.3.2), and how long a packet is."""

from airnode.media.codecs.bits import BitReader, BitstreamError
from airnode.media.frames import AudioConfig

#: Opus always decodes to this rate, whatever went into the encoder.
SAMPLE_RATE = 48_000
#: Samples of a frame of 20 ms, which is what browsers and OBS send.
USUAL_FRAME = 960
#: 120 ms.
LONGEST_PACKET = 5760


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


def packet_samples(packet: bytes) -> int:
    """Samples that a packet decodes to, as its first bytes say (RFC 6716 3.1, 3.2); 0 where it does not say."""
    if not packet:
        return 0
    mode, code = packet[0] >> 3, packet[0] & 3
    if mode < 12:
        frame = (480, 960, 1920, 2880)[mode & 3]
    elif mode < 16:
        frame = (480, 960)[mode & 1]
    else:
        frame = (120, 240, 480, 960)[mode & 3]
    if code < 3:
        return frame * (1 if code == 0 else 2)
    frames = packet[1] & 0x3F if len(packet) > 1 else 0
    return frame * frames if frame * frames <= LONGEST_PACKET else 0
