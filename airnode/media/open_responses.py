"""Responses to students that last: ``live.mp4`` and downloads. They end when the student is removed from the class."""

import contextlib
from collections.abc import Callable, Iterator

from airnode.bus.removals import Removal
from airnode.web.tokens import Claims


class OpenResponses:
    """The open responses of this node, by room."""

    def __init__(self) -> None:
        #: {room: {number of the response: (the ids of its student, what ends it)}}.
        self._open: dict[str, dict[int, tuple[tuple[str, ...], Callable[[], None]]]] = {}
        self._last = 0

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    @contextlib.contextmanager
    def kept(self, claims: Claims, end: Callable[[], None]) -> Iterator[None]:
        """Keep a response while it is open; ``end`` is called at most once. A teacher's is not kept."""
        if claims.user_type != "student":
            yield
            return
        self._last = number = self._last + 1
        self._open.setdefault(claims.room, {})[number] = (claims.ids, end)
        try:
            yield
        finally:
            found = self._open.get(claims.room, {})
            found.pop(number, None)
            if not found:
                self._open.pop(claims.room, None)

    def follow(self, removal: Removal) -> None:
        """End the responses to a student who was removed."""
        if removal.readmitted:
            return
        found = self._open.get(removal.room, {})
        for number in [number for number, (ids, _) in found.items() if removal.user_id in ids]:
            found.pop(number)[1]()
