"""What the API of transcripts answers. Names are in camel case, as clients of its first version know them."""

import msgspec

from airnode.speech.words import SpokenSegment


class SubmitAnswer(msgspec.Struct, rename="camel"):
    """An upload was taken.

    Attributes:
        success: always true. job_id: for the status. message: a sentence, in the client's language.
        estimated_time: minutes until the transcript is there, learned from what workers measured.
    """

    success: bool
    job_id: str
    message: str
    estimated_time: float


class WordView(msgspec.Struct):
    """A word; times are seconds from the beginning. ``probability`` is 0 to 1."""

    word: str
    start: float
    end: float
    probability: float


class SegmentView(msgspec.Struct):
    """A sentence, or a part of one; times are seconds from the beginning."""

    id: int
    start: float
    end: float
    text: str
    words: list[WordView]


class GapView(msgspec.Struct):
    """A time that could not be transcribed, in seconds from the beginning."""

    start: float
    end: float


class TranscriptLinks(msgspec.Struct):
    """Where the transcript is as a file."""

    json: str
    txt: str
    srt: str
    vtt: str


class TranscriptStatus(msgspec.Struct, rename="camel", omit_defaults=True):
    """How far a transcript is, and the transcript when it is done.

    Attributes:
        status: `queued`, `processing`, `completed`, `failed` or `cancelled`. progress: percent.
        total_chunks: pieces that the audio was cut into; 0: not yet. completed_chunks: those that are done.
        failed_chunks: those that failed for good; each is a gap.
        estimated_time_remaining: seconds. duration: of the audio, in seconds.
        language: of what was said, or as asked for; empty: not known yet.
        message: a sentence about the status, in the client's language. error: why it failed.
        text, segments, gaps, links: when it is completed.
    """

    job_id: str
    status: str
    progress: float
    total_chunks: int
    completed_chunks: int
    failed_chunks: int
    estimated_time_remaining: float
    file_name: str
    duration: float
    language: str
    message: str
    error: str | None = None
    text: str | None = None
    segments: list[SegmentView] | None = None
    gaps: list[GapView] | None = None
    links: TranscriptLinks | None = None


class TranscriptSummary(msgspec.Struct, rename="camel"):
    """A transcript in the list. ``created_at`` and ``ended_at`` are unix seconds; ``ended_at`` 0: it has not ended."""

    job_id: str
    file_name: str
    status: str
    duration: float
    language: str
    created_at: float
    ended_at: float


class TranscriptList(msgspec.Struct):
    """The newest transcripts that the sender may see, the newest first."""

    transcripts: list[TranscriptSummary]


class CancelAnswer(msgspec.Struct, rename="camel"):
    """A transcript was cancelled; ``success`` is false if it had ended before."""

    success: bool
    job_id: str
    status: str
    message: str


class SpeechQueueView(msgspec.Struct):
    """Jobs of a queue: pieces of audio, or uploads to be cut.

    Attributes:
        waiting: a free worker takes them; delayed: between two attempts.
        workers: workers of this queue that are alive.
    """

    name: str
    waiting: int
    active: int
    delayed: int
    completed: int
    failed: int
    workers: int


class SpeechWorkerView(msgspec.Struct):
    """A worker that is alive. ``slots``: pieces that it works on at once; ``active``: that it works on now."""

    id: str
    name: str
    queues: list[str]
    slots: int
    active: int
    version: str


class SpeechQueues(msgspec.Struct, rename="camel"):
    """All queues of transcripts, and their workers.

    Attributes:
        work_per_audio_second: seconds of work for a second of audio on one slot, as measured.
        waiting_audio: seconds of audio that are not transcribed yet.
    """

    queues: list[SpeechQueueView]
    workers: list[SpeechWorkerView]
    work_per_audio_second: float
    waiting_audio: float


class SpeechHealth(msgspec.Struct):
    """Whether uploads are transcribed. ``status``: `ok`; `degraded`: they are taken, and no worker is there."""

    status: str
    workers: int
    waiting: int


def segment_views(segments: tuple[SpokenSegment, ...]) -> list[SegmentView]:
    """Return segments as the API shows them."""
    return [
        SegmentView(
            number,
            segment.start_s,
            segment.end_s,
            segment.text,
            [WordView(word.text.strip(), word.start_s, word.end_s, word.probability) for word in segment.words],
        )
        for number, segment in enumerate(segments)
    ]
