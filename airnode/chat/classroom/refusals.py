"""Why a class refuses something. Each has a stable code, which clients get in the acknowledgement."""

from airnode.errors import Conflict, Forbidden, RateLimited


class ChatLocked(Forbidden):
    """The teacher closed the chat for students."""

    code, title = "locked", "The chat is locked"


class OnlyTeacherWrites(Forbidden):
    """Only the teacher writes messages now."""

    code, title = "teacher_only", "Only the teacher writes"


class ChatMuted(Forbidden):
    """The teacher muted this student; ``retry_after_s`` says for how long, if there is an end."""

    code, title = "muted", "Muted"


class SlowMode(RateLimited):
    """Students wait between two messages."""

    code, title = "slow_mode", "Slow mode"


class PollIsOpen(Conflict):
    """There is an open poll already."""

    code, title = "poll_open", "There is an open poll"


class PollIsClosed(Conflict):
    """The poll takes no more answers."""

    code, title = "poll_closed", "The poll is closed"


class AlreadyAnswered(Conflict):
    """Everybody answers once."""

    code, title = "already_answered", "Already answered"


class AlreadySupported(Conflict):
    """Everybody supports a question once."""

    code, title = "already_supported", "Already supported"


class OwnQuestion(Conflict):
    """Nobody supports their own question."""

    code, title = "own_question", "Your own question"


class ClassLimit(Conflict):
    """A limit of the class is reached; the sentence names the configuration key."""

    code, title = "limit_reached", "Too many"


REFUSALS = (
    ChatLocked,
    OnlyTeacherWrites,
    ChatMuted,
    SlowMode,
    PollIsOpen,
    PollIsClosed,
    AlreadyAnswered,
    AlreadySupported,
    OwnQuestion,
    ClassLimit,
)
