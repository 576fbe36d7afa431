"""Why an upload is refused, and the same for people, in English and Korean."""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, Literal, TypeVar

from aiohttp import web

from airnode.errors import AirnodeError, InvalidInput, RateLimited, TooLarge, Unavailable

Language = Literal["en", "ko"]
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[web.StreamResponse]])


class UploadTooLong(TooLarge):
    """The audio is longer than ``speech.max_duration_s``. The fields are what clients of the first API know."""

    code, title = "upload_too_long", "The audio is too long"

    def __init__(self, duration_s: float, max_duration_s: float) -> None:
        duration, longest = minutes(duration_s), minutes(max_duration_s)
        super().__init__(
            f"The audio is {duration:g} minutes long, and {longest:g} are allowed (speech.max_duration_s).",
            fields={"duration": duration, "maxDuration": longest, "premiumRequired": True},
        )


class UploadTooLarge(TooLarge):
    """The file has more bytes than ``speech.max_upload_bytes``."""

    code, title = "upload_too_large", "The file is too large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"The file is larger than {max_bytes / 1e6:,.0f} MB (speech.max_upload_bytes).",
            fields={"maxMegabytes": round(max_bytes / 1e6)},
        )


class UploadBroken(InvalidInput):
    """The body is no form with a file, or it ended early."""

    code, title = "upload_broken", "No file arrived"


class UploadStoreFull(AirnodeError):
    """The disk that holds uploads has too little free space."""

    code, title, status = "upload_store_full", "No space for uploads", 507


class TooManyUploads(Unavailable):
    """As many uploads as ``speech.max_uploads`` run on this node."""

    code, title = "too_many_uploads", "Too many uploads at once"


class TooManyTranscripts(RateLimited):
    """This user has as many open transcripts as ``speech.max_open``."""

    code, title = "too_many_transcripts", "Too many transcripts wait"


class DailyMinutesUsed(RateLimited):
    """An API key has used its minutes of audio for today."""

    code, title = "daily_minutes_used", "No minutes are left for today"


class TranscriptionFailed(AirnodeError):
    """The transcript failed, or somebody cancelled it, while a client waited for it."""

    code, title = "transcription_failed", "The transcription failed"


#: {code: {language: (title, sentence)}}; a sentence may contain fields of the error.
TEXTS: Mapping[str, Mapping[Language, tuple[str, str]]] = {
    "upload_too_long": {
        "en": ("The audio is too long", "The audio is {duration:g} minutes long; at most {maxDuration:g} are allowed."),
        "ko": (
            "오디오가 너무 길어요",
            "오디오 길이가 {duration:g}분이에요. 최대 {maxDuration:g}분까지 올릴 수 있어요.",
        ),
    },
    "upload_too_large": {
        "en": ("The file is too large", "The file is larger than {maxMegabytes:,} MB."),
        "ko": ("파일이 너무 커요", "파일은 최대 {maxMegabytes:,}MB까지 올릴 수 있어요."),
    },
    "upload_broken": {
        "en": ("No file arrived", "Send a form (multipart/form-data) with the file in the field audio."),
        "ko": ("파일을 받지 못했어요", "multipart/form-data 형식으로 audio 필드에 파일을 담아 보내 주세요."),
    },
    "upload_store_full": {
        "en": ("No space for uploads", "The server has no space for uploads now. Try again later."),
        "ko": ("저장 공간이 부족해요", "지금은 서버에 파일을 저장할 공간이 없어요. 잠시 후 다시 시도해 주세요."),
    },
    "too_many_uploads": {
        "en": ("Too many uploads at once", "The server receives too many files at once. Try again in a moment."),
        "ko": ("업로드가 너무 많아요", "지금 업로드가 몰려 있어요. 잠시 후 다시 시도해 주세요."),
    },
    "too_many_transcripts": {
        "en": ("Too many transcripts wait", "Too many of your transcripts are not done yet. Wait until some are."),
        "ko": ("대기 중인 작업이 너무 많아요", "아직 끝나지 않은 작업이 많아요. 일부가 끝난 뒤 다시 올려 주세요."),
    },
    "daily_minutes_used": {
        "en": ("No minutes are left for today", "This API key may send {dailyMinutes:g} minutes of audio a day."),
        "ko": ("오늘 사용량을 모두 썼어요", "이 API 키로는 하루에 {dailyMinutes:g}분까지 변환할 수 있어요."),
    },
    "transcription_failed": {
        "en": ("The transcription failed", "The audio could not be transcribed."),
        "ko": ("변환하지 못했어요", "음성을 텍스트로 변환하지 못했어요."),
    },
    "unreadable_media": {
        "en": ("Not a media file that can be read", "The file is damaged, or it is not audio or video."),
        "ko": ("읽을 수 없는 파일이에요", "파일이 손상되었거나 오디오·동영상 파일이 아니에요."),
    },
    "empty_media": {
        "en": ("There is no audio in the file", "The file is empty, or its sound has no length."),
        "ko": ("파일에 소리가 없어요", "빈 파일이거나 소리의 길이가 0이에요."),
    },
    "no_audio_track": {
        "en": ("The file has no sound", "There is no track of sound in the file."),
        "ko": ("소리가 없는 파일이에요", "파일에 오디오 트랙이 없어요."),
    },
    "decoding_failed": {
        "en": ("The file cannot be decoded", "Decoding the file needs more than is allowed."),
        "ko": ("파일을 해석하지 못했어요", "파일을 해석하는 데 허용된 한도를 넘었어요."),
    },
    "unknown_language": {
        "en": ("Unknown language", "Give the language as an ISO 639-1 code, such as ko or en."),
        "ko": ("알 수 없는 언어예요", "언어는 ko, en 같은 ISO 639-1 코드로 알려 주세요."),
    },
    "speech_unavailable": {
        "en": ("Speech is not available", "No transcripts are made now. Try again later."),
        "ko": ("음성 인식을 쓸 수 없어요", "지금은 변환할 수 없어요. 잠시 후 다시 시도해 주세요."),
    },
    "speech_not_installed": {
        "en": ("Speech is not installed", "This server cannot transcribe: it was installed without speech."),
        "ko": ("음성 인식이 설치되지 않았어요", "이 서버에는 음성 인식 기능이 설치되어 있지 않아요."),
    },
    "invalid_input": {
        "en": ("Invalid input", "{detail}"),
        "ko": ("요청이 올바르지 않아요", "요청에 잘못된 값이 있어요: {detail}"),
    },
    "not_found": {
        "en": ("Not found", "There is no such transcript."),
        "ko": ("찾을 수 없어요", "해당 작업을 찾을 수 없어요."),
    },
    "unauthenticated": {
        "en": ("Not signed in", "Send an API key or the teacher secret (Authorization: Bearer)."),
        "ko": ("로그인이 필요해요", "API 키나 선생님 비밀번호를 보내 주세요(Authorization: Bearer)."),
    },
    "forbidden": {
        "en": ("Not allowed", "Only teachers and programs with an API key may do this."),
        "ko": ("권한이 없어요", "선생님이나 API 키가 있는 프로그램만 할 수 있어요."),
    },
    "rate_limited": {
        "en": ("Too many requests", "Too many requests. Try again in a moment."),
        "ko": ("요청이 너무 많아요", "요청이 너무 많아요. 잠시 후 다시 시도해 주세요."),
    },
    "unavailable": {
        "en": ("Service unavailable", "The server cannot answer now. Try again in a moment."),
        "ko": ("서버가 응답하지 않아요", "지금은 서버가 응답할 수 없어요. 잠시 후 다시 시도해 주세요."),
    },
}


def minutes(seconds: float) -> float:
    """Return minutes with one decimal; never 0 for something."""
    return max(0.1, round(seconds / 60, 1))


def language_of(request: web.Request) -> Language:
    """Return the first language of ``Accept-Language`` (RFC 9110 12.5.4) by weight that we speak; else English."""
    best, found = 0.0, "en"
    for entry in request.headers.get("Accept-Language", "")[:500].split(","):
        tag, _, parameter = entry.partition(";")
        language = tag.strip().lower().partition("-")[0]
        weight = _weight(parameter)
        if language in ("en", "ko") and weight > best:
            best, found = weight, language
    return "ko" if found == "ko" else "en"


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return min(1.0, float(value))
    except ValueError:
        return 0.0


def told(error: AirnodeError, language: Language) -> tuple[str, str]:
    """Return an error's title and sentence in a language. Those of errors without a text are in English."""
    known = TEXTS.get(error.code)
    if known is None:
        return error.title, error.detail or error.title
    title, sentence = known[language]
    return title, sentence.format_map({"detail": error.detail or error.title, **error.fields})


def localized(handler: Handler) -> Handler:
    """Return a method that handles a request, whose errors say ``error`` and ``message`` in the client's language."""

    @wraps(handler)
    async def handle(self: Any, request: web.Request) -> web.StreamResponse:
        try:
            return await handler(self, request)
        except AirnodeError as error:
            title, sentence = told(error, language_of(request))
            error.fields = {"error": title, "message": sentence, **error.fields}
            raise

    return handle  # type: ignore[return-value]  # wraps() keeps the type
