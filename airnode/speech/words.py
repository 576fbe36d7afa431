"""What was said: words, segments, transcriptions. All times are seconds from the start of the audio."""

import msgspec


class Word(msgspec.Struct, frozen=True):
    """One word with its times.

    Attributes:
        text: as written in the segment, with its punctuation and the space before it, if there is one: the texts of all
            words joined are the segment's text.
        probability: 0 to 1; of an engine that gives none: 1.
    """

    text: str
    start_s: float
    end_s: float
    probability: float = 1.0


class SpokenSegment(msgspec.Struct, frozen=True):
    """A sentence, or a part of one.

    Attributes:
        text: without space at its ends.
        words: empty if word times were not asked for.
        log_probability: mean of the tokens' natural logarithms, 0 or less.
        no_speech_probability: 0 to 1: how sure the model was that nobody speaks.
        compression_ratio: of the text by zlib; repeated text has a high one.
        temperature: of the sampling that gave this text.
    """

    text: str
    start_s: float
    end_s: float
    words: tuple[Word, ...] = ()
    log_probability: float = 0.0
    no_speech_probability: float = 0.0
    compression_ratio: float = 1.0
    temperature: float = 0.0


class SpeechGap(msgspec.Struct, frozen=True):
    """A time that could not be transcribed, with the reason as a sentence."""

    start_s: float
    end_s: float
    reason: str = ""


class Transcription(msgspec.Struct, frozen=True):
    """What was said in one audio.

    Attributes:
        language: ISO 639 code of the language; empty: nobody speaks, or nobody knows.
        language_probability: 0 to 1; 1 where the language was given.
        segments: in order of their start; none overlaps another.
        gaps: times without a result.
    """

    language: str
    language_probability: float
    duration_s: float
    segments: tuple[SpokenSegment, ...] = ()
    gaps: tuple[SpeechGap, ...] = ()

    @property
    def has_speech(self) -> bool:
        """Return whether anything was said."""
        return bool(self.segments)

    @property
    def text(self) -> str:
        """Return all that was said, with a space between segments."""
        return " ".join(segment.text for segment in self.segments)


def moved_segment(segment: SpokenSegment, by_s: float) -> SpokenSegment:
    """Return the segment with all its times later by ``by_s``."""
    words = tuple(
        Word(word.text, round(word.start_s + by_s, 3), round(word.end_s + by_s, 3), word.probability)
        for word in segment.words
    )
    return msgspec.structs.replace(
        segment, start_s=round(segment.start_s + by_s, 3), end_s=round(segment.end_s + by_s, 3), words=words
    )
