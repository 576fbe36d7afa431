"""What all actions of a class have in common: membership, rights, limits, the append, and work that follows later."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from airnode.chat.rooms.application import ChatApplication
from airnode.chat.rooms.local_room import LocalRoom
from airnode.chat.rooms.log import Appended, CheckScript, Draft
from airnode.chat.rooms.people import User, Visitor
from airnode.chat.rooms.texts import cleaned
from airnode.config.sections.chat import ChatSection
from airnode.errors import AirnodeError, Forbidden, InvalidInput, RateLimited, TooLarge
from airnode.kernel.tasks import TaskScope
from airnode.web.rate_limit import RateLimit

log = structlog.get_logger(__name__)

#: An audience that no user id and no role is: the entry is only for the class record.
NOBODY = "\x1f"
ScriptArgs = Sequence[str | bytes | int]


class ClassActions:
    """Appends what people do, once it is clear that they may."""

    def __init__(self, application: ChatApplication, section: ChatSection, tasks: TaskScope) -> None:
        self.application = application
        self.section = section
        self._tasks = tasks
        self._limit = RateLimit(section.action_rate_per_s, section.action_burst)
        #: Keys of work that is waiting, see ``later``. Owned by this class.
        self._waiting: set[str] = set()

    def room(self, visitor: Visitor, name: str) -> LocalRoom:
        """Return a room that somebody is in; raises as :meth:`ChatApplication.require_member`."""
        return self.application.require_member(visitor, name)

    def take(self, visitor: Visitor, room: str, event: str, limit: RateLimit | None = None) -> None:
        """Count an action of a person in a room.

        Raises:
            RateLimited: (429) too many; by default of ``chat.action_rate_per_s`` and ``chat.action_burst``.
        """
        wait_s = (limit or self._limit).take(f"{room}\n{visitor.user.id}", asyncio.get_running_loop().time())
        if wait_s:
            self.application.rooms.metrics.limited.labels(event).inc()
            raise RateLimited("You are too fast; wait a moment.", retry_after_s=wait_s)

    async def append(
        self,
        visitor: Visitor,
        room: str,
        event: str,
        check: CheckScript,
        args: ScriptArgs = (),
        *,
        audience: str = "",
        recorded: bool = True,
    ) -> Appended:
        """Run a script, which makes the entry's data. Raises what it refuses, and Unavailable (503)."""
        user = msgspec.json.encode(visitor.user)
        draft = Draft(room=room, event=event, data=b"{}", user=user, audience=audience, recorded=recorded)
        return await self.application.rooms.append(draft, check, args)

    def later(self, key: str, after_s: float, work: Callable[[], Awaitable[object]]) -> None:
        """Do some work once, after a while, unless the same is waiting already."""
        if key not in self._waiting:
            self._waiting.add(key)
            self._tasks.spawn(key, self._do_later(key, after_s, work))

    async def _do_later(self, key: str, after_s: float, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await asyncio.sleep(after_s)
        finally:
            self._waiting.discard(key)
        try:
            await work()
        except AirnodeError as error:
            log.warning("class_update_not_published", what=key, error=error.detail)

    async def stop(self) -> None:
        """End the work that waits."""
        await self._tasks.aclose()


def user_json(user: User) -> bytes:
    return msgspec.json.encode(user)


def require_teacher(visitor: Visitor) -> None:
    """Raise Forbidden (403) unless this is a teacher."""
    if not visitor.is_teacher:
        raise Forbidden("Only a teacher may do this.")


def checked_text(what: str, text: str, max_chars: int, key: str) -> str:
    """Return a text without blanks around it, and without what :func:`.texts.cleaned` drops.

    Raises:
        InvalidInput: (400) nothing is left. TooLarge: (413) it is longer than the key of the configuration allows.
    """
    text = cleaned(what, text).strip()
    if not text:
        raise InvalidInput(f"{what} must not be empty.")
    if len(text) > max_chars:
        raise TooLarge(f"{what} has at most {max_chars} characters (chat.{key}).")
    return text
