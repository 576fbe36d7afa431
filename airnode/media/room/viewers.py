"""Counts viewers: token sessions with a request within a time window. Sans-IO.

Addresses, connections and requests for segments do not identify viewers: a school has one address (research notes,
section 6).
"""

from collections import Counter, deque

#: Most new sessions that are kept until they are read; the oldest are dropped.
_NEWCOMERS_MAX = 10_000


class Viewers:
    """The sessions of one room, by the time of their last playlist request.

    Args:
        window_s: a session counts for this long after its last request.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        #: {session id: monotonic time of its last request}, oldest first.
        self._seen_s: dict[str, float] = {}
        #: {session id: number of its open endless responses}; these sessions always count.
        self._watching: Counter[str] = Counter()
        #: {session id: id of its user}, for the sessions above.
        self._users: dict[str, str] = {}
        #: New sessions, until they are read.
        self._newcomers: deque[str] = deque(maxlen=_NEWCOMERS_MAX)

    def note_request(self, session_id: str, now_s: float, user_id: str = "") -> None:
        """Note a playlist request."""
        if user_id:
            self._users[session_id] = user_id
        if self._seen_s.pop(session_id, None) is None:
            self._newcomers.append(session_id)
        self._seen_s[session_id] = now_s

    def open_response(self, session_id: str, user_id: str = "") -> None:
        """Note the start of an endless response."""
        if user_id:
            self._users[session_id] = user_id
        self._watching[session_id] += 1

    def close_response(self, session_id: str, now_s: float) -> None:
        """Note the end of an endless response: the session now counts for ``window_s``, as after a request."""
        if session_id not in self._watching:
            return
        self._watching[session_id] -= 1
        if not self._watching[session_id]:
            del self._watching[session_id]
        self.note_request(session_id, now_s)

    def newcomers(self) -> list[str]:
        """Return the sessions that are new since the last call."""
        found = list(self._newcomers)
        self._newcomers.clear()
        return found

    def count(self, now_s: float) -> int:
        """Return the number of sessions within the window, and drop the others."""
        for session_id in self._watching:
            self.note_request(session_id, now_s)
        oldest_s = now_s - self._window_s
        for session_id, seen_s in list(self._seen_s.items()):
            if seen_s >= oldest_s:
                break
            del self._seen_s[session_id]
            self._users.pop(session_id, None)
        return len(self._seen_s)

    def users(self, now_s: float) -> dict[str, tuple[str, float]]:
        """Return {session id: (id of its user, seconds since it was last seen)}, of the sessions that count now."""
        self.count(now_s)
        return {
            session_id: (user_id, now_s - self._seen_s[session_id])
            for session_id, user_id in self._users.items()
            if session_id in self._seen_s
        }

    def clear(self) -> None:
        """Drop all sessions: the stream has ended."""
        self._seen_s.clear()
        self._users.clear()
        self._watching.clear()
