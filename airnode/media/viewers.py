"""Counting viewers: by token session, seen within a window. Sans-IO.

Not by address (a school is one address), not by connection, not by hits on segments (research notes, section 6).
"""


class Viewers:
    """Sessions of one room by the time of their last playlist request.

    Args:
        window_s: a session counts for this long after it was last seen.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        #: {session id: monotonic seconds}, the longest unseen first.
        self._seen_s: dict[str, float] = {}

    def saw(self, session_id: str, now_s: float) -> None:
        """Note a playlist request."""
        self._seen_s.pop(session_id, None)
        self._seen_s[session_id] = now_s

    def count(self, now_s: float) -> int:
        """Sessions seen within the window; forgets the others."""
        oldest_s = now_s - self._window_s
        for session_id, seen_s in list(self._seen_s.items()):
            if seen_s >= oldest_s:
                break
            del self._seen_s[session_id]
        return len(self._seen_s)

    def clear(self) -> None:
        """Nobody is watching: the stream has ended."""
        self._seen_s.clear()
