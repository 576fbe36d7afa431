"""Parameter sets within frames (ISO/IEC 14496-15 avc3, hev1), in addition to those in the sample entry."""

from airnode.media.codecs import avc, hevc
from airnode.media.codecs.bits import BitstreamError
from airnode.media.frames import VideoConfig

#: NAL unit types: the access unit delimiter of H.264 and of H.265, as the first byte of the NAL unit.
_AVC_DELIMITER, _HEVC_DELIMITER = 9, 35 << 1


def parameter_sets(config: VideoConfig) -> bytes:
    """Return the parameter sets as NAL units with sizes of four bytes; empty: AV1, or the record cannot be read."""
    try:
        if config.codec == "avc":
            _, sps, pps = avc.read_avcc(config.record)
            nals = [*sps, *pps]
        elif config.codec == "hevc":
            _, nals = hevc.read_hvcc(config.record)
        else:
            return b""
    except BitstreamError:
        return b""
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals if nal)


def with_parameter_sets(data: bytes, sets: bytes) -> bytes:
    """Return a frame with these sets at its start, or after its access unit delimiter, which must come first."""
    if len(data) > 5 and (data[4] & 0x1F == _AVC_DELIMITER or data[4] == _HEVC_DELIMITER):
        end = 4 + int.from_bytes(data[:4], "big")
        return data[:end] + sets + data[end:]
    return sets + data
