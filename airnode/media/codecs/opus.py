"""Opus: the dOps box (Encapsulation of Opus in ISO Base Media File Format, 4.3.2), and the duration of packets."""

from airnode.media.codecs.bits import BitReader, BitstreamError
from airnode.media.frames import AudioConfig

#: Opus always decodes to this rate, for any input rate of the encoder.
SAMPLE_RATE = 48_000
#: Samples of a frame of 20 ms, which browsers and OBS send.
USUAL_FRAME_SAMPLES = 960
#: Samples of 120 ms.
MAX_PACKET_SAMPLES = 5760


#: The body of a dOps box for a stream that came without a header: stereo, the pre-skip of libopus.
USUAL_DOPS = bytes.fromhex("00 02 0138 0000bb80 0000 00")
_HEAD_MAGIC = b"OpusHead"


def dops_of_head(head: bytes) -> bytes:
    """Return the body of the dOps box for an identification header (RFC 7845 5.1), with or without its first 8 bytes.

    Raises:
        BitstreamError: it is cut short.
    """
    fields = head.removeprefix(_HEAD_MAGIC)
    if len(fields) < 11:
        raise BitstreamError("an Opus header is cut short")
    # Both have the same fields: the header in little-endian with version 1, the box in big-endian with version 0.
    pre_skip, rate, gain = fields[2:4][::-1], fields[4:8][::-1], fields[8:10][::-1]
    return b"\0" + fields[1:2] + pre_skip + rate + gain + fields[10:]


def parse_dops(record: bytes) -> AudioConfig:
    """Return the configuration in the body of a dOps box.

    Raises:
        BitstreamError: it is cut short or invalid.
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
    return AudioConfig(record, "opus", SAMPLE_RATE, channels, USUAL_FRAME_SAMPLES, codec="opus")


def packet_samples(packet: bytes) -> int:
    """Return the number of samples that a packet decodes to (RFC 6716 3.1, 3.2); 0 if its first bytes are invalid."""
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
    return frame * frames if frame * frames <= MAX_PACKET_SAMPLES else 0
