"""Counting viewers: by token session, seen within a window. Sans-IO.

Not by address (a school is one address), not by connection, not by hits on segments (research notes, section 6).
"""

from collections import Counter, deque

#: Newcomers that nobody asks for are let go beyond this.
_NEWCOMERS_MAX = 10_000


class Viewers:
    """Sessions of one room by the time of their last playlist request.

    Args:
        window_s: a session counts for this long after it was last seen.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        #: {session id: monotonic seconds}, the longest unseen first.
        self._seen_s: dict[str, float] = {}
        #: {session id: its open responses}; those are seen all the time.
        self._watching: Counter[str] = Counter()
        #: Sessions seen for the first time, until somebody asks.
        self._newcomers: deque[str] = deque(maxlen=_NEWCOMERS_MAX)

    def saw(self, session_id: str, now_s: float) -> None:
        """Note a playlist request."""
        if self._seen_s.pop(session_id, None) is None:
            self._newcomers.append(session_id)
        self._seen_s[session_id] = now_s

    def came(self, session_id: str) -> None:
        """An endless response begins."""
        self._watching[session_id] += 1

    def went(self, session_id: str, now_s: float) -> None:
        """It has ended: from here on, the session counts as long as after any request."""
        if session_id not in self._watching:
            return
        self._watching[session_id] -= 1
        if not self._watching[session_id]:
            del self._watching[session_id]
        self.saw(session_id, now_s)

    def newcomers(self) -> list[str]:
        """Sessions that showed up since this was asked last."""
        found = list(self._newcomers)
        self._newcomers.clear()
        return found

    def count(self, now_s: float) -> int:
        """Sessions seen within the window; forgets the others."""
        for session_id in self._watching:
            self.saw(session_id, now_s)
        oldest_s = now_s - self._window_s
        for session_id, seen_s in list(self._seen_s.items()):
            if seen_s >= oldest_s:
                break
            del self._seen_s[session_id]
        return len(self._seen_s)

    def clear(self) -> None:
        """Nobody is watching: the stream has ended."""
        self._seen_s.clear()
        self._watching.clear()
