"""Frames and codec configurations: the values that go from an ingest protocol to the packager and to all writers.

::

    ingest ──▶ CodecRecord, Frame, StreamMetadata ──▶ Examiner ──▶ VideoConfig, AudioConfig, Frame, StreamMetadata
               RefusedTrack, ExtraTrack
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

VideoCodec = Literal["avc", "hevc", "av1"]
AudioCodec = Literal["aac", "opus"]
TrackKind = Literal["video", "audio"]
#: Why a key frame is requested: a viewer joined without one near, a period or a recording begins with one.
KeyFrameReason = Literal["viewer", "period", "recording"]


@dataclass(frozen=True, slots=True)
class CodecRecord:
    """A track's codec and its decoder configuration as the publisher sent it, not examined yet.

    Attributes:
        record: the body of the avcC, hvcC, av1C or dOps box, or the AudioSpecificConfig; empty: the publisher sent
            frames without one.
    """

    codec: VideoCodec | AudioCodec
    record: bytes


@dataclass(frozen=True, slots=True)
class RefusedTrack:
    """A message of a track in a codec that browsers cannot play.

    Attributes:
        codec: name of the codec, for people.
    """

    track: TrackKind
    codec: str


@dataclass(frozen=True, slots=True)
class ExtraTrack:
    """A message of a second video or audio track: only the first track of each kind is played."""

    track: TrackKind


@dataclass(frozen=True, slots=True)
class VideoConfig:
    """A video decoder configuration. A different one during a stream causes a discontinuity.

    Attributes:
        record: the body of the avcC, hvcC or av1C box, as the publisher sent it.
        codecs: the RFC 6381 string, e.g. ``avc1.64001f``.
        width, height: in pixels.
        frame_rate: frames a second as declared in the bitstream (VUI timing); None: not declared.
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
        record: the AudioSpecificConfig (ISO 14496-3 1.6.2.1) or the body of the dOps box, as the publisher sent it.
        codecs: the RFC 6381 string, e.g. ``mp4a.40.2`` or ``opus``.
        sample_rate: sample rate of the core coder in Hz; also the timescale of the track.
        samples_per_frame: 1024 or 960 for AAC; for Opus the usual number: a packet may be shorter or longer.
    """

    record: bytes
    codecs: str
    sample_rate: int
    channels: int
    samples_per_frame: int = 1024
    codec: AudioCodec = "aac"


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One coded frame of one track: an access unit of video, an AAC frame or an Opus packet.

    The same class is used from the ingest to every writer. An ingest creates a frame with the publisher's times; the
    packager creates a second one with the times of the media timeline, which all writers share. No object is created
    more often, so it is a msgspec struct that the garbage collector ignores: creating one takes 60 ns, and creating a
    frozen dataclass takes 780 ns.

    Attributes:
        dts_90k: decode time, in ticks of 1/90,000 s. In a frame from an ingest it is the publisher's time, as a 64-bit
            number that does not wrap (RTMP's 32-bit clock does); in a frame from the packager it is the media
            timeline's.
        cts_90k: presentation minus decode time; may be negative; 0 for audio.
        data: length-prefixed NAL units (avc, hevc), OBUs (av1), one raw AAC frame or one Opus packet.
        is_key: decoding can begin with this frame; true for every audio frame.
        arrived_s: unix time at which it arrived at this node.
        dts_samples: for audio from the packager: the exact decode time in samples; otherwise 0.
        duration_samples: for audio: its duration; 0: ``samples_per_frame`` of its configuration.
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
    """The publisher's announcement (onMetaData). It is only a hint: the bitstream decides."""

    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    video_bitrate_bps: int | None = None
    audio_bitrate_bps: int | None = None
    encoder: str = ""


MediaEvent = VideoConfig | AudioConfig | Frame | StreamMetadata
#: An ingest sends these; the examiner turns them into media events.
IngestEvent = CodecRecord | RefusedTrack | ExtraTrack | MediaEvent
