"""What a media child is asked, and what it answers (JSON)."""

from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]
Length = Annotated[float, msgspec.Meta(ge=0)]


class MediaOrder(msgspec.Struct, frozen=True):
    """The argument of the child.

    Attributes:
        action: ``probe``: say what the file holds; ``decode``: write its audio; ``split``: say where to cut samples.
        source_fd: the file, opened for reading.
        output_fd: where samples go (``decode``).
        answer_fd: where the answer goes.
        max_duration_s: longest audio.
        track: number of the track among those of sound; -1: the one that the file prefers.
        piece_min_s, piece_max_s: lengths of pieces (``split``).
    """

    action: Literal["probe", "decode", "split"]
    source_fd: int
    answer_fd: int = -1
    output_fd: int = -1
    max_duration_s: float = 0.0
    track: int = -1
    piece_min_s: float = 0.0
    piece_max_s: float = 0.0


class AudioInfo(msgspec.Struct, frozen=True, tag=True):
    """What a media file holds.

    Attributes:
        duration_s: length of the audio as the packets have it; where that is above the limit, as counted by decoding.
        is_too_long: the audio is longer than the limit; ``duration_s`` is then where counting stopped, or what the file
            says of itself if that is more.
        container: FFmpeg's name of the format, such as ``mov,mp4,m4a,3gp,3g2,mj2``.
        codec: FFmpeg's name of the audio's codec.
        tracks: number of tracks of sound.
        has_video: whether there is a picture that moves (a cover is none).
    """

    duration_s: Length
    is_too_long: bool
    container: str
    codec: str
    rate_hz: Count
    channels: Count
    tracks: Count
    has_video: bool


class DecodedAudio(msgspec.Struct, frozen=True, tag=True):
    """What was decoded.

    Attributes:
        samples: written, at 16 kHz.
        bad_packets: packets that could not be decoded and were left out.
        is_too_long: the audio goes on after the limit; nothing of that was written.
    """

    samples: Count
    bad_packets: Count
    is_too_long: bool


class Piece(msgspec.Struct, frozen=True):
    """A part of an audio that is transcribed alone.

    Attributes:
        speech_s: how long somebody speaks in it.
    """

    index: Count
    start_s: Length
    stop_s: Length
    speech_s: Length


class Cuts(msgspec.Struct, frozen=True, tag=True):
    """Where an audio is cut. The pieces touch each other and cover everything."""

    pieces: tuple[Piece, ...]


class MediaFailure(msgspec.Struct, frozen=True, tag=True):
    """Why there is no answer.

    Attributes:
        code: of an error class in :mod:`airnode.speech.errors`, or ``disk_full``.
        detail: a sentence for people.
    """

    code: str
    detail: str


#: What a child may answer.
MediaAnswer = AudioInfo | DecodedAudio | Cuts | MediaFailure
