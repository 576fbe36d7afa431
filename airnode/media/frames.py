"""What flows from an ingest protocol to the packager and on to the writers: codec configurations and frames."""

from dataclasses import dataclass
from typing import Literal

import msgspec

VideoCodec = Literal["avc", "hevc", "av1"]
AudioCodec = Literal["aac", "opus"]
TrackKind = Literal["video", "audio"]


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


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One coded frame of one track: an access unit of video, an AAC frame or an Opus packet.

    The same class goes from the ingest to every writer. An ingest makes it with the publisher's times; the packager
    makes one more with the times of the media timeline, which all writers share. It is the object of which there are
    most: a msgspec struct outside of the garbage collector is made in 60 ns, a frozen dataclass in 780 ns.

    Attributes:
        dts_90k: decode time, in ticks of 1/90,000 s. From an ingest it is the publisher's time, on a line of 64 bits
            (RTMP's 32-bit clock is unwrapped already), from the packager the media timeline's.
        cts_90k: presentation minus decode time; may be negative; 0 for audio.
        data: length-prefixed NAL units (avc, hevc), OBUs (av1), one raw AAC frame or one Opus packet.
        is_key: a decoder can begin here. Every audio frame is one.
        arrived_s: unix time at which it came to this node.
        dts_samples: of audio that the packager has placed: the exact decode time, in samples; else 0.
        duration_samples: of audio: how long it lasts; 0: ``samples_per_frame`` of its configuration.
    """

    track: TrackKind
    dts_90k: int
    cts_90k: int
    data: bytes
    is_key: bool
    arrived_s: float
    dts_samples: int = 0
    duration_samples: int = 0


@dataclass(frozen=True, slots=True)
class StreamMetadata:
    """What the publisher announced (onMetaData): a hint, never trusted over the bitstream."""

    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    video_bitrate_bps: int | None = None
    audio_bitrate_bps: int | None = None
    encoder: str = ""


MediaEvent = VideoConfig | AudioConfig | Frame | StreamMetadata
