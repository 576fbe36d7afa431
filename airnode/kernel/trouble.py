"""A failure that lasts: logged when it begins and ends, not at each attempt."""

import structlog

from airnode.errors import AirnodeError, Unavailable

log = structlog.get_logger(__name__)


class Trouble:
    """What keeps a part of airnode from working.

    It is logged when it begins, changes and ends, and a health check raises it.

    Args:
        began: name of the log event (warning) of a begin or a change; empty: nothing is logged.
        ended: name of the log event (info) of the end.
    """

    def __init__(self, began: str = "", ended: str = "") -> None:
        self._began = began
        self._ended = ended
        #: {what fails: the reason, a sentence for people}. One entry with an empty key where only one thing can fail.
        self._reasons: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._reasons)

    def __contains__(self, what: str) -> bool:
        return what in self._reasons

    @property
    def text(self) -> str:
        """The reasons, each once; empty without trouble."""
        return " ".join(dict.fromkeys(self._reasons.values()))

    def begin(self, error: AirnodeError, what: str = "", /, **fields: object) -> None:
        """Note that ``what`` fails; ``fields`` are logged."""
        before, self._reasons[what] = self._reasons.get(what), error.detail
        if self._began and before != error.detail:
            log.warning(self._began, **fields, error=error.detail, debug=error.debug)

    def end(self, what: str = "", /, **fields: object) -> bool:
        """Note that ``what`` works; return whether it failed before."""
        failed = self._reasons.pop(what, None) is not None
        if failed and self._ended:
            log.info(self._ended, **fields)
        return failed

    def forget(self, what: str) -> None:
        """Drop a reason without a word in the log: ``what`` is no longer the task of this part."""
        self._reasons.pop(what, None)

    def check(self) -> None:
        """Raise the trouble, for a health check.

        Raises:
            Unavailable: (503) there is one.
        """
        if self._reasons:
            raise Unavailable(self.text)
