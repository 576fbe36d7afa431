"""The names that a class sees: checked, and with a number where two people have the same one."""

from dataclasses import dataclass
from typing import Protocol

import structlog

from airnode.config.sections.auth import AuthSection
from airnode.errors import InvalidInput, Unavailable
from airnode.web.lookalikes import skeleton
from airnode.web.names import accepted_name, base_name, numbered, require_unreserved, reserved_name

log = structlog.get_logger(__name__)


class NameNumbers(Protocol):
    """Counts the people of one name in a class; see :class:`airnode.bus.class_names.ClassNames`."""

    async def number(self, room: str, user_id: str, look: str, *, teacher: bool = False) -> int:
        """Return the person's number, from 1; 0: a teacher has this name. Raises Unavailable (503)."""
        ...


@dataclass(frozen=True, slots=True)
class ShownName:
    """A student's name. ``given``: as the student wrote it; empty: none. ``shown``: as the class sees it."""

    given: str
    shown: str


class ShownNames:
    """Decides which name somebody gets. While Redis does not answer, people of one name are not told apart."""

    def __init__(self, section: AuthSection, numbers: NameNumbers) -> None:
        self._max_chars = section.max_name_chars
        self._reserved = section.reserved_names
        self._default = section.default_name
        self._numbers = numbers

    async def teacher(self, room: str, user_id: str, wanted: str) -> str:
        """Return a teacher's name, and keep students from taking one that looks like it; empty: none was given.

        Two teachers of one name in a class get numbers, as students do.

        Raises:
            InvalidInput: (400) the name is too long, or has characters that cannot be seen.
        """
        if not wanted:
            return ""
        name = base_name(accepted_name(wanted, self._max_chars))
        return numbered(name, await self._number(room, user_id, name, teacher=True))

    async def student(self, room: str, user_id: str, wanted: str, own_id: str) -> ShownName:
        """Return a student's name.

        Args:
            own_id: the id that the client gave itself, if it may be seen; older clients send a name there and none as
                name.

        Raises:
            InvalidInput: (400) as above, and NameReserved: (400) it looks like a teacher's.
        """
        given = base_name(self._accepted(wanted)) if wanted else ""
        for name in (given,) if given else (self._name_of(own_id), self._default):
            number = await self._number(room, user_id, name)
            if number > 0:
                return ShownName(given, numbered(name, number))
        if given:
            raise reserved_name()
        return ShownName("", self._default)

    def _accepted(self, wanted: str) -> str:
        name = accepted_name(wanted, self._max_chars)
        require_unreserved(name, self._reserved)
        return name

    def _name_of(self, own_id: str) -> str:
        """Return the client's own id as a name, if it is a possible one."""
        try:
            return base_name(self._accepted(own_id))
        except InvalidInput:
            return self._default

    async def _number(self, room: str, user_id: str, name: str, *, teacher: bool = False) -> int:
        look = skeleton(name) or name
        try:
            return await self._numbers.number(room, user_id, look, teacher=teacher)
        except Unavailable as error:
            log.warning("names_not_told_apart", room=room, error=error.detail)
            return 1
