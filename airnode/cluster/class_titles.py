"""The titles of classes, for lists that are read every few seconds."""

import time
from collections.abc import Mapping

import structlog

from airnode.cluster.classes import Classes
from airnode.errors import Unavailable

log = structlog.get_logger(__name__)

#: How old the titles may be.
_KEPT_S = 10.0


class ClassTitles:
    """Reads the titles now and then; without PostgreSQL the last ones remain."""

    def __init__(self, classes: Classes) -> None:
        self._classes = classes
        self._titles: Mapping[str, str] = {}
        self._read_s = float("-inf")

    async def by_room(self) -> Mapping[str, str]:
        """Return {room: title}."""
        now_s = time.monotonic()
        if now_s - self._read_s > _KEPT_S:
            self._read_s = now_s
            try:
                self._titles = {each.room: each.title for each in await self._classes.all()}
            except Unavailable as error:
                log.debug("class_titles_not_read", error=str(error))
        return self._titles
