"""Turns FLV tag bodies from RTMP into frames (Adobe FLV 10.1 Annex E; Enhanced RTMP v1 and v2, Veovera).

The legacy forms carry H.264 and AAC. The enhanced ones name their codec by a FourCC; avc1, hvc1, av01, mp4a and Opus
are accepted. Codec id 12, with which many encoders sent HEVC before Enhanced RTMP, is accepted as well. Of several
tracks of one kind, track 0 is used.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Final

from airnode.media.codecs import opus
from airnode.media.codecs.bits import BitstreamError
from airnode.media.frames import (
    AudioCodec,
    CodecRecord,
    ExtraTrack,
    Frame,
    IngestEvent,
    RefusedTrack,
    StreamMetadata,
    VideoCodec,
)
from airnode.media.rtmp.enhanced_tags import MULTITRACK, fourcc_at, fourcc_name, skip_mod_ex, track_0
from airnode.media.rtmp.errors import MalformedMedia

_VIDEO_NAMES: Final = {2: "Sorenson H.263", 3: "Screen Video", 4: "VP6", 5: "VP6 with alpha", 6: "Screen Video 2"}
_AUDIO_NAMES: Final = {
    0: "PCM",
    1: "ADPCM",
    2: "MP3",
    3: "PCM",
    4: "Nellymoser",
    5: "Nellymoser",
    6: "Nellymoser",
    7: "G.711 A-law",
    8: "G.711 mu-law",
    11: "Speex",
    13: "Opus without Enhanced RTMP",
    14: "MP3",
    15: "device-specific sound",
}
_LEGACY_VIDEO: Final[dict[int, VideoCodec]] = {7: "avc", 12: "hevc"}
_ENHANCED_VIDEO: Final[dict[bytes, VideoCodec]] = {b"avc1": "avc", b"hvc1": "hevc", b"av01": "av1"}
_ENHANCED_AUDIO: Final[dict[bytes, AudioCodec]] = {b"mp4a": "aac", b"Opus": "opus"}
_AAC, _EX_AUDIO = 10, 9
_KEY_FRAMES: Final = frozenset({1, 4})
_COMMAND_FRAME: Final = 5
# Packet types of the enhanced forms; the legacy AVCPacketType has the first three with the same meaning. Not
# used: sequence end (2), HDR metadata (4), the MPEG-2 TS form of AV1's configuration (5), multichannel layouts (4).
_SEQUENCE_START, _CODED_FRAMES, _CODED_FRAMES_X, _METADATA = 0, 1, 3, 4
_VIDEO_CONTENT: Final = frozenset({_SEQUENCE_START, _CODED_FRAMES, _CODED_FRAMES_X})
_AUDIO_CONTENT: Final = frozenset({_SEQUENCE_START, _CODED_FRAMES})


class FlvDemuxer:
    """Turns tag bodies into events. Does not examine the bytes of configurations and frames.

    An empty :class:`CodecRecord` comes before frames whose configuration is missing.
    """

    def __init__(self) -> None:
        #: The codec of the last configuration or frame of each track.
        self._video: VideoCodec | None = None
        self._audio: AudioCodec | None = None

    # --- video

    def video(self, timestamp_ms: int, payload: bytes, arrived_s: float) -> list[IngestEvent]:
        """Return the events of a video tag's body, which arrived at the unix time ``arrived_s``.

        Raises:
            MalformedMedia: it is empty or cut short.
        """
        if not payload:
            raise MalformedMedia("an empty video message")
        if payload[0] & 0x80:
            return self._enhanced_video(timestamp_ms, payload, arrived_s)
        frame_type, codec_id = payload[0] >> 4, payload[0] & 0x0F
        if frame_type == _COMMAND_FRAME:
            return []
        codec = _LEGACY_VIDEO.get(codec_id)
        if codec is None:
            return [RefusedTrack("video", _VIDEO_NAMES.get(codec_id, f"video codec {codec_id}"))]
        if len(payload) < 5:
            raise MalformedMedia("a video message is cut short")
        if payload[1] == _SEQUENCE_START:
            return self._video_config(codec, payload[5:])
        if payload[1] != _CODED_FRAMES:
            return []
        return self._video_frame(codec, payload, 5, len(payload), timestamp_ms, _signed24(payload, 2), arrived_s)

    def _enhanced_video(self, timestamp_ms: int, payload: bytes, arrived_s: float) -> list[IngestEvent]:
        frame_type = payload[0] >> 4 & 0x07
        packet_type, pos = skip_mod_ex(payload)
        if frame_type == _COMMAND_FRAME and packet_type != _METADATA:
            return []
        end = len(payload)
        if packet_type == MULTITRACK["video"]:
            track = track_0(payload, pos)
            if track is None:
                return [ExtraTrack("video")]
            packet_type, fourcc, pos, end = track
        else:
            fourcc = fourcc_at(payload, pos)
            pos += 4
        if packet_type not in _VIDEO_CONTENT:
            return []
        codec = _ENHANCED_VIDEO.get(fourcc)
        if codec is None:
            return [RefusedTrack("video", fourcc_name(fourcc))]
        if packet_type == _SEQUENCE_START:
            return self._video_config(codec, payload[pos:end])
        if packet_type == _CODED_FRAMES and codec != "av1":
            if end < pos + 3:
                raise MalformedMedia("a video message is cut short")
            return self._video_frame(codec, payload, pos + 3, end, timestamp_ms, _signed24(payload, pos), arrived_s)
        return self._video_frame(codec, payload, pos, end, timestamp_ms, 0, arrived_s)

    def _video_config(self, codec: VideoCodec, record: bytes) -> list[IngestEvent]:
        self._video = codec
        return [CodecRecord(codec, record)]

    def _video_frame(
        self, codec: VideoCodec, payload: bytes, start: int, end: int, dts_ms: int, cts_ms: int, arrived_s: float
    ) -> list[IngestEvent]:
        """Return the frame whose data is in ``payload[start:end]``."""
        is_key = (payload[0] >> 4 & 0x07) in _KEY_FRAMES
        frame = Frame("video", dts_ms * 90, cts_ms * 90, payload[start:end], is_key, arrived_s)
        return [frame] if self._video == codec else [*self._video_config(codec, b""), frame]

    # --- audio

    def audio(self, timestamp_ms: int, payload: bytes, arrived_s: float) -> list[IngestEvent]:
        """Return the events of an audio tag's body, which arrived at the unix time ``arrived_s``.

        Raises:
            MalformedMedia: it is empty or cut short.
        """
        if not payload:
            raise MalformedMedia("an empty audio message")
        sound_format = payload[0] >> 4
        if sound_format == _EX_AUDIO:
            return self._enhanced_audio(timestamp_ms, payload, arrived_s)
        if sound_format != _AAC:
            return [RefusedTrack("audio", _AUDIO_NAMES.get(sound_format, f"audio codec {sound_format}"))]
        if len(payload) < 2:
            raise MalformedMedia("an audio message is cut short")
        if payload[1] == _SEQUENCE_START:
            return self._audio_config("aac", payload[2:])
        return self._audio_frame("aac", timestamp_ms, payload[2:], arrived_s) if payload[1] == _CODED_FRAMES else []

    def _enhanced_audio(self, timestamp_ms: int, payload: bytes, arrived_s: float) -> list[IngestEvent]:
        packet_type, pos = skip_mod_ex(payload)
        end = len(payload)
        if packet_type == MULTITRACK["audio"]:
            track = track_0(payload, pos)
            if track is None:
                return [ExtraTrack("audio")]
            packet_type, fourcc, pos, end = track
        else:
            fourcc = fourcc_at(payload, pos)
            pos += 4
        if packet_type not in _AUDIO_CONTENT:
            return []
        codec = _ENHANCED_AUDIO.get(fourcc)
        if codec is None:
            return [RefusedTrack("audio", fourcc_name(fourcc))]
        if packet_type == _SEQUENCE_START:
            return self._audio_config(codec, payload[pos:end])
        return self._audio_frame(codec, timestamp_ms, payload[pos:end], arrived_s)

    def _audio_config(self, codec: AudioCodec, record: bytes) -> list[IngestEvent]:
        self._audio = codec
        if codec == "opus":
            try:
                record = opus.dops_of_head(record)
            except BitstreamError:
                record = opus.USUAL_DOPS
        return [CodecRecord(codec, record)]

    def _audio_frame(self, codec: AudioCodec, dts_ms: int, data: bytes, arrived_s: float) -> list[IngestEvent]:
        frame = Frame("audio", dts_ms * 90, 0, data, True, arrived_s)
        return [frame] if self._audio == codec else [*self._audio_config(codec, b""), frame]

    # --- metadata

    def metadata(self, values: Sequence[object]) -> list[IngestEvent]:
        """Return the events of a data message: one for onMetaData, none for others (cue points, captions)."""
        if len(values) < 2 or values[0] != "onMetaData" or not isinstance(values[1], dict):
            return []
        fields = values[1]
        width, height = _number(fields.get("width"), 1, 16384), _number(fields.get("height"), 1, 16384)
        video_kbps, audio_kbps = _number(fields.get("videodatarate")), _number(fields.get("audiodatarate"))
        encoder = fields.get("encoder")
        return [
            StreamMetadata(
                width=None if width is None else int(width),
                height=None if height is None else int(height),
                frame_rate=_number(fields.get("framerate"), 0.1, 1000),
                video_bitrate_bps=None if video_kbps is None else round(video_kbps * 1000),
                audio_bitrate_bps=None if audio_kbps is None else round(audio_kbps * 1000),
                encoder=encoder[:128] if isinstance(encoder, str) else "",
            )
        ]


def _number(value: object, low: float = 0.001, high: float = 1e7) -> float | None:
    """Return a number of onMetaData if it is plausible. Some encoders send numbers as strings."""
    try:
        number = float(value) if isinstance(value, float | int | str) else 0.0
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) and low <= number <= high else None


def _signed24(payload: bytes, pos: int) -> int:
    return int.from_bytes(payload[pos : pos + 3], "big", signed=True)
