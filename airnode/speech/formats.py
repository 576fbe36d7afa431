"""A transcription as a file: plain text, SRT, WebVTT, JSON, and OpenAI's ``verbose_json``."""

import html
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from airnode.speech.cues import cues_of
from airnode.speech.words import SpeechGap, SpokenSegment, Transcription

#: English names, as OpenAI's API gives them, of the languages that are not called by their code there.
LANGUAGE_NAMES: Final = {
    "ar": "arabic", "de": "german", "en": "english", "es": "spanish", "fr": "french", "hi": "hindi", "id": "indonesian",
    "it": "italian", "ja": "japanese", "ko": "korean", "nl": "dutch", "pl": "polish", "pt": "portuguese",
    "ru": "russian", "sv": "swedish", "th": "thai", "tr": "turkish", "uk": "ukrainian", "vi": "vietnamese",
    "zh": "chinese",
}  # fmt: skip


def to_txt(found: Transcription) -> str:
    """Return the text, a line for each segment; a gap is a line in brackets."""
    lines: list[tuple[float, str]] = [(segment.start_s, segment.text) for segment in found.segments]
    lines += [(gap.start_s, _gap_text(gap)) for gap in found.gaps]
    return "".join(f"{text}\n" for _, text in sorted(lines, key=lambda each: each[0]))


def to_srt(found: Transcription) -> str:
    """Return SubRip subtitles."""
    blocks = [
        f"{number}\n{clock(cue.start_s, ',')} --> {clock(cue.end_s, ',')}\n" + "\n".join(cue.lines)
        for number, cue in enumerate(cues_of(_shown(found)), 1)
    ]
    return "\n\n".join(blocks) + "\n" if blocks else ""


def to_vtt(found: Transcription) -> str:
    """Return WebVTT (https://www.w3.org/TR/webvtt1/). Text is escaped (section 1.1: no tag of ours is in it)."""
    blocks = [
        f"{clock(cue.start_s, '.')} --> {clock(cue.end_s, '.')}\n"
        + "\n".join(html.escape(line, quote=False) for line in cue.lines)
        for cue in cues_of(_shown(found))
    ]
    return "\n\n".join(["WEBVTT", *blocks]) + "\n"


def to_json(found: Transcription) -> str:
    """Return all that is known, with the whole text."""
    body = {"text": found.text, **msgspec.to_builtins(found)}
    return _json(body)


def to_verbose_json(
    found: Transcription, *, segments: bool = True, words: bool = False, task: str = "transcribe"
) -> str:
    """Return what OpenAI's API answers to ``response_format=verbose_json``.

    Args:
        segments, words: what ``timestamp_granularities[]`` asks for.
    """
    body: dict[str, Any] = {
        "task": task,
        "language": LANGUAGE_NAMES.get(found.language, found.language),
        "duration": found.duration_s,
        "text": found.text,
    }
    if words:
        body["words"] = [
            {"word": word.text.strip(), "start": word.start_s, "end": word.end_s}
            for segment in found.segments
            for word in segment.words
        ]
    if segments:
        body["segments"] = [_verbose_segment(number, segment) for number, segment in enumerate(found.segments)]
    return _json(body)


#: {name: writer}; the names are also the files' extensions.
FORMATS: Final[Mapping[str, Callable[[Transcription], str]]] = {
    "txt": to_txt,
    "srt": to_srt,
    "vtt": to_vtt,
    "json": to_json,
}


def clock(at_s: float, separator: str) -> str:
    """Return ``01:02:03.004`` with this separator before the milliseconds."""
    total_ms = round(at_s * 1000)
    seconds, millis = divmod(total_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{millis:03}"


def _verbose_segment(number: int, segment: SpokenSegment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": round(segment.start_s * 100),
        "start": segment.start_s,
        "end": segment.end_s,
        "text": segment.text,
        "tokens": [],
        "temperature": segment.temperature,
        "avg_logprob": segment.log_probability,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_probability,
    }


def _shown(found: Transcription) -> list[SpokenSegment]:
    gaps = [SpokenSegment(_gap_text(gap), gap.start_s, gap.end_s) for gap in found.gaps]
    return sorted([*found.segments, *gaps], key=lambda each: each.start_s)


def _gap_text(gap: SpeechGap) -> str:
    return f"[{clock(gap.start_s, '.')[:8]} - {clock(gap.end_s, '.')[:8]}: not transcribed]"


def _json(body: Mapping[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(body), indent=2).decode() + "\n"
