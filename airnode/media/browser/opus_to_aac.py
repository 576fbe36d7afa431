"""Converts Opus packets to AAC frames with PyAV (the extra ``media``). Blocking: it runs in a thread.

Times follow the packets: the first packet sets the time of the first sample, and from there samples are counted. Where
the packets' times leave the count by more than `REANCHOR_US`, such as after lost packets, the count follows them.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from airnode.media.codecs import opus
from airnode.media.frames import CodecRecord, Frame, IngestEvent

if TYPE_CHECKING:
    from av import AudioCodecContext

RATE: Final = opus.SAMPLE_RATE
REANCHOR_90K: Final = 3_600  # 40 ms
#: Samples that an AAC encoder puts before the first one (its first frame only primes the decoder).
_PRIMING_SAMPLES: Final = 1024
_FRAME_SAMPLES: Final = 1024
#: FFmpeg's default takes 3.4 times the time (1.0 against 0.3 ms a frame), and speech is no nearer to the original.
_ENCODER_OPTIONS: Final = {"aac_coder": "fast"}


class ConverterMissing(Exception):
    """PyAV is not installed."""


def require_converter() -> None:
    """Import PyAV; slow the first time.

    Raises:
        ConverterMissing: it is not installed.
    """
    try:
        import av  # noqa: F401 - an extra, and slow to import
    except ImportError as error:
        raise ConverterMissing(str(error)) from None


class OpusToAac:
    """Converts one track. Not thread-safe: one call at a time.

    Args:
        record: the body of the dOps box.

    Attributes:
        invalid: packets that could not be decoded.
    """

    def __init__(self, record: bytes, bitrate_bps: int) -> None:
        channels = min(opus.parse_dops(record).channels, 2)
        self._layout = "mono" if channels == 1 else "stereo"
        self._bitrate_bps = bitrate_bps if channels == 2 else bitrate_bps * 3 // 4
        self.invalid = 0
        self._decoder: AudioCodecContext | None = None
        self._encoder: AudioCodecContext | None = None
        #: Time of sample 0, and the number of samples decoded and of frames encoded since.
        self._anchor_90k: int | None = None
        self._samples = 0
        self._frames = 0

    def convert(self, packets: Sequence[Frame]) -> list[IngestEvent]:
        """Return the AAC frames that are complete after these packets; the configuration comes before the first one.

        Raises:
            ConverterMissing: PyAV is not installed.
        """
        events: list[IngestEvent] = []
        if self._encoder is None:
            self._open()
            events.append(CodecRecord("aac", self._audio_specific_config()))
        for packet in packets:
            events += self._convert(packet)
        return events

    def _open(self) -> None:
        require_converter()
        from av import CodecContext

        decoder, encoder = CodecContext.create("opus", "r"), CodecContext.create("aac", "w")
        decoder.sample_rate = encoder.sample_rate = RATE
        decoder.layout = encoder.layout = self._layout
        encoder.format = "fltp"
        encoder.bit_rate = self._bitrate_bps
        encoder.time_base = Fraction(1, RATE)
        encoder.thread_count = decoder.thread_count = 1
        encoder.options = dict(_ENCODER_OPTIONS)
        encoder.open()
        self._decoder, self._encoder = decoder, encoder

    def _audio_specific_config(self) -> bytes:
        # FFmpeg appends the sync extension 0x2b7 for SBR, which says that there is none; two bytes say all.
        record = self._encoder.extradata if self._encoder is not None else None
        return (record or b"")[:2]

    def _convert(self, packet: Frame) -> list[IngestEvent]:
        from av import Packet
        from av.error import FFmpegError

        if self._decoder is None or self._encoder is None:
            return []
        if not opus.packet_samples(packet.data):
            self.invalid += 1
            return []
        self._follow(packet.dts_90k)
        try:
            decoded = self._decoder.decode(Packet(packet.data))
        except FFmpegError:
            self.invalid += 1
            return []
        encoded: list[IngestEvent] = []
        for samples in decoded:
            samples.pts = None
            self._samples += samples.samples
            encoded.extend(self._frame(bytes(each), packet.arrived_s) for each in self._encoder.encode(samples))
        return encoded

    def _follow(self, dts_90k: int) -> None:
        """Move the time of sample 0 where the packets' times and the count of samples disagree."""
        if self._anchor_90k is None:
            self._anchor_90k = dts_90k
        off_90k = dts_90k - (self._anchor_90k + self._samples * 90_000 // RATE)
        if abs(off_90k) > REANCHOR_90K:
            self._anchor_90k += off_90k

    def _frame(self, data: bytes, arrived_s: float) -> Frame:
        first = self._frames * _FRAME_SAMPLES - _PRIMING_SAMPLES
        self._frames += 1
        dts_90k = max(0, (self._anchor_90k or 0) + first * 90_000 // RATE)
        return Frame("audio", dts_90k, 0, data, True, arrived_s, 0, _FRAME_SAMPLES)
