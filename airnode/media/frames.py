"""What flows from an ingest protocol to the packager: codec configurations and samples.

Times are the publisher's, in milliseconds on a 64-bit line of their own (RTMP's 32-bit clock already unwrapped).
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

VideoCodec = Literal["avc", "hevc", "av1"]
AudioCodec = Literal["aac", "opus"]


@dataclass(frozen=True, slots=True)
class VideoConfig:
    """A video decoder configuration; a different one in mid-stream means a discontinuity.

    Attributes:
        record: the body of the avcC, hvcC or av1C box, as it came.
        codecs: the RFC 6381 string, e.g. ``avc1.64001f``.
        frame_rate: frames a second as the bitstream declares it (VUI timing), None where it does not.
    """

    codec: VideoCodec
    record: bytes
    codecs: str
    width: int
    height: int
    frame_rate: float | None = None


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """An AAC or Opus decoder configuration.

    Attributes:
        record: the AudioSpecificConfig (ISO 14496-3 1.6.2.1) or the body of the dOps box, as it came.
        codecs: the RFC 6381 string, e.g. ``mp4a.40.2`` or ``opus``.
        sample_rate: of the core coder, in Hz; also the timescale of its track.
        samples_per_frame: 1024 or 960; for Opus what is usual: a packet may be shorter or longer.
    """

    record: bytes
    codecs: str
    sample_rate: int
    channels: int
    samples_per_frame: int = 1024
    codec: AudioCodec = "aac"


class VideoSample(msgspec.Struct, frozen=True, gc=False):
    """One access unit, length-prefixed NAL units (avc, hevc) or OBUs (av1).

    Attributes:
        dts_ms: decode time. cts_ms: presentation minus decode time, may be negative.
        key: a random access point.
    """

    dts_ms: int
    cts_ms: int
    key: bool
    data: bytes


class AudioSample(msgspec.Struct, frozen=True, gc=False):
    """One raw AAC frame or Opus packet; ``dts_ms`` is the publisher's timestamp.

    Attributes:
        samples: that it lasts; 0: ``samples_per_frame`` of its configuration.
    """

    dts_ms: int
    data: bytes
    samples: int = 0


@dataclass(frozen=True, slots=True)
class StreamMetadata:
    """What onMetaData said; a hint, never trusted over the bitstream."""

    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    video_bitrate_bps: int | None = None
    audio_bitrate_bps: int | None = None
    encoder: str = ""


MediaEvent = VideoConfig | AudioConfig | VideoSample | AudioSample | StreamMetadata
