"""Small H.264, HEVC, AV1 and AAC samples, made by hand. Parameter sets are real; only the heads of slices are."""

from collections.abc import Sequence

from airnode.media.codecs import avc, hevc
from airnode.media.codecs.libav import LibavImport
from airnode.media.frames import AudioCodec, CodecRecord, Frame, IngestEvent, MediaEvent, VideoCodec
from airnode.media.samples.examiner import Examiner
from airnode.media.samples.findings import Findings

AVCC = bytes.fromhex("0142c01effe100196742c01eda0280bfe5c044000003000400000300f03c58ba8001000468ce0fc8")
OTHER_AVCC = bytes.fromhex("014d401effe10018674d401eeca06c1ef37808800000030080000019078b16cb01000568ebe3cb20")
HVCC = bytes.fromhex(
    "0101600000009000000000003ff000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003f959409a10001002b"
    "42010101600000030090000003000003003fa005020171f2e595952930bc05a020000003002000000303c1a2000100064401c073c189"
)
AV1C = bytes.fromhex("81010c000a0b0000000cc4ff6736be4010")
MONO, STEREO = bytes.fromhex("1188"), bytes.fromhex("1190")

_, (SPS,), (PPS,) = avc.read_avcc(AVCC)
_, (OTHER_SPS,), (OTHER_PPS,) = avc.read_avcc(OTHER_AVCC)
_, (HEVC_VPS, HEVC_SPS, HEVC_PPS) = hevc.read_hvcc(HVCC)

#: First slices of pictures, and a slice that continues one: ``1`` and ``010`` are first_mb_in_slice 0 and 1.
IDR = b"\x65\x88\x84" + bytes(range(1, 60))
INTRA = b"\x41\x88\x84" + bytes(range(1, 60))
INTER = b"\x41\x9a\x24" + bytes(range(1, 60))
IDR_REST, INTER_REST = b"\x65\x48\x84" + bytes(range(1, 60)), b"\x41\x5a\x24" + bytes(range(1, 60))
AUD = b"\x09\xf0"
#: Payload type 5 (user data), and 6 (recovery point) with recovery_frame_cnt 0 and 3.
SEI = b"\x06\x05\x11" + bytes(range(16, 32)) + b"x\x80"
OPEN_GOP, REFRESH = b"\x06\x06\x01\xc4\x80", b"\x06\x06\x02\x24\x40\x80"

HEVC_IDR, HEVC_CRA = b"\x26\x01\xaf" + bytes(range(1, 60)), b"\x2a\x01\xaf" + bytes(range(1, 60))
HEVC_TRAIL, HEVC_RASL = b"\x02\x01\xd0" + bytes(range(1, 60)), b"\x10\x01\xe0" + bytes(range(1, 60))
HEVC_REST = b"\x02\x01\x50" + bytes(range(1, 60))

#: A mono and a stereo frame of silence, which end with END.
MONO_FRAME = bytes.fromhex("01182007")
STEREO_FRAME = bytes.fromhex("21004990021900238e")

FRAME_MS = 40


def sized(*nals: bytes, size_bytes: int = 4) -> bytes:
    """Return NAL units, each after its size."""
    return b"".join(len(nal).to_bytes(size_bytes, "big") + nal for nal in nals)


def annexb(*nals: bytes, code: bytes = b"\0\0\0\1") -> bytes:
    """Return NAL units, each after a start code."""
    return b"".join(code + nal for nal in nals)


def nals_of(data: bytes) -> list[bytes]:
    """Return the NAL units of a frame in the right form; fails on any other."""
    found, pos = [], 0
    while pos < len(data):
        end = pos + 4 + int.from_bytes(data[pos : pos + 4], "big")
        assert pos + 4 < end <= len(data), data.hex()
        found.append(data[pos + 4 : end])
        pos = end
    return found


def adts(raw: bytes, *, layout: int = 2, rate_index: int = 3) -> bytes:
    """Return an AAC-LC frame after an ADTS header of 7 bytes."""
    size = len(raw) + 7
    head = 0xFFF1 << 40 | 1 << 38 | rate_index << 34 | layout << 30 | size << 13 | 0x7FF << 2
    return head.to_bytes(7, "big") + raw


class Stream:
    """One publisher's stream in front of an examiner.

    Attributes:
        passed: the events that came out.
        codes: {code of a finding: how often}.
    """

    def __init__(
        self, codec: VideoCodec | AudioCodec = "avc", record: bytes | None = None, libav: LibavImport | None = None
    ) -> None:
        self.findings = Findings()
        self.passed: list[MediaEvent] = []
        self._examiner = Examiner(self.findings, libav)
        self._is_audio = codec in ("aac", "opus")
        self._now_ms = 0
        self.configure(codec, {"avc": AVCC, "hevc": HVCC, "av1": AV1C}.get(codec, STEREO) if record is None else record)

    @property
    def codes(self) -> dict[str, int]:
        return {code: count for (_, code), count in self.findings.counts.items()}

    @property
    def frames(self) -> list[Frame]:
        return [event for event in self.passed if isinstance(event, Frame)]

    def configure(self, codec: VideoCodec | AudioCodec, record: bytes) -> "Stream":
        return self._examine([CodecRecord(codec, record)])

    def video(self, *bodies: bytes, is_key: bool = False, same_time: bool = False, cts_ms: int = 0) -> "Stream":
        """Send frames at the frame rate, and return self."""
        for body in bodies:
            self._now_ms += 0 if same_time else FRAME_MS
            self._examine([Frame("video", self._now_ms * 90, cts_ms * 90, body, is_key, self._now_ms / 1000)])
        return self

    def audio(self, *bodies: bytes) -> "Stream":
        for body in bodies:
            self._now_ms += FRAME_MS
            self._examine([Frame("audio", self._now_ms * 90, 0, body, True, self._now_ms / 1000)])
        return self

    def begin(self, pictures: int = 40) -> "Stream":
        """Send good pictures until the examiner is sure of the stream, forget its events, and return self."""
        self.video(sized(IDR), is_key=True).video(*[sized(INTER)] * pictures)
        self.passed.clear()
        return self

    def finish(self) -> "Stream":
        self.passed += self._examiner.finish()
        return self

    def _examine(self, events: Sequence[IngestEvent]) -> "Stream":
        self.passed += self._examiner.examine(events, self._now_ms / 1000)
        return self
