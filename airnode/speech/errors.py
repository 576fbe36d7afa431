"""What can be wrong with a media file, and with an engine."""

from airnode.errors import InvalidInput, TooLarge, Unavailable


class UnreadableMedia(InvalidInput):
    """The file is no media file of a known format, or its index is missing."""

    code, title, status = "unreadable_media", "Not a media file that can be read", 415


class EmptyMedia(InvalidInput):
    """The file has no bytes, or its audio has no samples."""

    code, title = "empty_media", "There is no audio in the file"


class NoAudioTrack(InvalidInput):
    """The file has no track of sound."""

    code, title = "no_audio_track", "The file has no sound"


class DecodingFailed(InvalidInput):
    """The decoder went beyond a limit, or crashed: nothing that an honest file does."""

    code, title = "decoding_failed", "The file cannot be decoded within the limits"


class AudioTooLong(TooLarge):
    """The audio is longer than ``speech.max_duration_s``; ``fields`` has ``duration_s`` and ``max_duration_s``.

    ``duration_s`` is what was counted until the limit, or what the file says if that is more.
    """

    code, title = "audio_too_long", "The audio is too long"


class UnknownLanguage(InvalidInput):
    """The engine does not know this language."""

    code, title = "unknown_language", "Unknown language"


class SpeechUnavailable(Unavailable):
    """The engine cannot work now."""

    code, title = "speech_unavailable", "Speech is not available"


class SpeechMissing(SpeechUnavailable):
    """The extra ``stt`` is not installed."""

    code, title = "speech_not_installed", "Speech is not installed"


class ModelMissing(SpeechUnavailable):
    """The model is not on this machine and cannot be fetched."""

    code, title = "model_missing", "The speech model is missing"


class EngineFailed(SpeechUnavailable):
    """The engine's process ended, hung or sent an error; another attempt may work."""

    code, title = "engine_failed", "The speech engine failed"
