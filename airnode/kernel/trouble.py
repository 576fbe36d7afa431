"""A failure that lasts: logged when it begins and ends, not at each attempt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import structlog

from airnode.errors import AirnodeError, Unavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something fails: the code, the sentence and the fields of the error, without its traceback."""

    code: str
    text: str
    fields: Mapping[str, object] = field(default_factory=dict)


class Trouble:
    """A lasting failure of one part of airnode.

    It is logged when it begins, changes and ends, and a health check raises it.

    Args:
        began: name of the log event when it begins or changes; empty: these are not logged.
        ended: name of the log event (info) when it ends; empty: the end is not logged.
        level: level of the event ``began``.
    """

    def __init__(self, began: str = "", ended: str = "", *, level: Literal["warning", "error"] = "warning") -> None:
        self._began = began
        self._ended = ended
        self._log_begin = log.error if level == "error" else log.warning
        #: {what fails: the reason}. The key is empty if only one thing can fail.
        self._reasons: dict[str, Reason] = {}

    def __bool__(self) -> bool:
        return bool(self._reasons)

    def __contains__(self, what: str) -> bool:
        return what in self._reasons

    @property
    def reasons(self) -> list[Reason]:
        """Return the reason of each thing that fails; empty without trouble."""
        return list(self._reasons.values())

    @property
    def text(self) -> str:
        """Return the sentences of the reasons, each once; empty without trouble."""
        return " ".join(dict.fromkeys(reason.text for reason in self._reasons.values()))

    def begin(self, error: AirnodeError, what: str = "", /, **fields: object) -> None:
        """Note that ``what`` fails; ``fields`` are logged."""
        before = self._reasons.get(what)
        self._reasons[what] = Reason(error.code, error.detail, error.fields)
        if self._began and (before is None or before.text != error.detail):
            self._log_begin(self._began, **fields, error=error.detail, debug=error.debug)

    def end(self, what: str = "", /, **fields: object) -> bool:
        """Note that ``what`` works; return whether it failed before."""
        failed = self._reasons.pop(what, None) is not None
        if failed and self._ended:
            log.info(self._ended, **fields)
        return failed

    def forget(self, what: str) -> None:
        """Drop a reason without logging: this part is no longer responsible for ``what``."""
        self._reasons.pop(what, None)

    def check(self) -> None:
        """Raise the trouble as an error, for a health check.

        Raises:
            Unavailable: something fails. HTTP 503.
        """
        if self._reasons:
            raise Unavailable(self.text)
