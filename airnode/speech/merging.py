"""One transcription of the transcriptions of pieces."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from airnode.speech.media.messages import Piece
from airnode.speech.words import SpeechGap, SpokenSegment, Transcription, moved_segment


def merged(
    pieces: Sequence[Piece], done: Mapping[int, Transcription], failed: Mapping[int, str] | None = None
) -> Transcription:
    """Return the transcription of the whole audio, with times from its start.

    Args:
        pieces: all of them; they touch each other.
        done: {index of a piece: its transcription, with times from the start of the piece}.
        failed: {index: why there is none}, as sentences. A piece that is neither in here nor in ``done`` is a gap too.
    """
    reasons = failed or {}
    segments: list[SpokenSegment] = []
    gaps: list[SpeechGap] = []
    for piece in sorted(pieces, key=lambda each: each.start_s):
        if piece.index in done:
            moved = (moved_segment(segment, piece.start_s) for segment in done[piece.index].segments)
            segments.extend(_within(segment, piece) for segment in moved)
        else:
            gaps.append(SpeechGap(piece.start_s, piece.stop_s, reasons.get(piece.index, "")))
    language, probability = _language(pieces, done)
    duration_s = max((piece.stop_s for piece in pieces), default=0.0)
    return Transcription(language, probability, duration_s, tuple(segments), tuple(gaps))


def _within(segment: SpokenSegment, piece: Piece) -> SpokenSegment:
    """Return the segment, not beyond the end of its piece: Whisper rounds times up to 20 ms."""
    if segment.end_s <= piece.stop_s:
        return segment
    return SpokenSegment(
        segment.text,
        min(segment.start_s, piece.stop_s),
        piece.stop_s,
        segment.words,
        segment.log_probability,
        segment.no_speech_probability,
        segment.compression_ratio,
        segment.temperature,
    )


def _language(pieces: Sequence[Piece], done: Mapping[int, Transcription]) -> tuple[str, float]:
    """Return the language of most of the speech, and the mean of its probabilities."""
    spoken_s: dict[str, float] = defaultdict(float)
    weighted: dict[str, float] = defaultdict(float)
    for piece in pieces:
        part = done.get(piece.index)
        if part is not None and part.language:
            length_s = piece.speech_s or piece.stop_s - piece.start_s
            spoken_s[part.language] += length_s
            weighted[part.language] += length_s * part.language_probability
    if not spoken_s:
        return "", 0.0
    language = max(spoken_s, key=lambda each: spoken_s[each])
    return language, round(weighted[language] / spoken_s[language], 4)
