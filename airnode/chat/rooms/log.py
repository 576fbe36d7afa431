"""The log of a room in Redis: one sequence of entries for all nodes.

The position of an entry is ``(epoch, offset)``. Offsets grow by one; a new epoch begins where Redis lost entries, so
that nobody takes new entries for old ones. Appending is one Lua script: it checks, changes the room's state, adds the
entry to the stream, publishes it to the nodes, and adds it to the outbox of the class record.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from redis.commands.core import AsyncScript
from redis.exceptions import ResponseError

from airnode.bus import keys
from airnode.bus.client import Bus, unavailable
from airnode.chat.rooms.log_scripts import POSITION, RENEW, append_with
from airnode.config.sections.chat import ChatSection
from airnode.errors import (
    AirnodeError,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    RateLimited,
    TooLarge,
)

#: Redis must answer within this time; otherwise this node goes on alone.
ANSWER_S = 2.0
#: Largest data of one entry, in bytes. The bus carries 256 KiB.
MAX_DATA_BYTES = 128 << 10
#: How long a client may send the same message again.
_AGAIN_S = 900
_BATCH = 500
#: In an audience: all teachers. Students may have this as their id, so it names no student.
_TEACHERS = "teacher"
_REFUSALS: dict[str, type[AirnodeError]] = {
    kind.code: kind for kind in (Conflict, Forbidden, InvalidInput, NotFound, RateLimited, TooLarge)
}


class LogEntry(msgspec.Struct, frozen=True):
    """One entry of a room's log, as it is stored and published.

    Attributes:
        at: unix milliseconds, by the clock of Redis.
        id: unique in the room; ``<epoch>-<offset>`` unless it was given.
        data: a JSON object.
        audience: who may see it: user ids and ``teacher``, one a line; empty: everybody.
        nonce: made by the node that appended it, which recognizes its own entries by it.
    """

    room: str
    epoch: str
    offset: int
    event: str
    id: str
    at: int
    data: msgspec.Raw
    audience: str = ""
    nonce: str = ""

    @property
    def position(self) -> str:
        """Return ``<epoch>:<offset>``, which clients send back to get what they missed."""
        return f"{self.epoch}:{self.offset}"

    def is_for(self, user_id: str, role: str) -> bool:
        """Return whether this person may see it. A student who is called ``teacher`` is none."""
        if not self.audience:
            return True
        names = self.audience.split("\n")
        return _TEACHERS in names if role == _TEACHERS else user_id != _TEACHERS and user_id in names


@dataclass(frozen=True, slots=True)
class CheckScript:
    """A check-and-change script in Lua, the body of a function that runs in the same step as the append.

    It sees ``data`` (JSON text), ``args`` (a table of texts), ``now_ms``, ``epoch`` and ``offset`` (of the last entry),
    and may call:

    ==============================  ===================================================================================
    ``key(name)``                   full key of one of ``keys``; ``keep(name)`` renews its expiry
    ``find_message(id)``            returns stream id and fields of a message; ``erase_message(id)`` removes it and
                                    returns the fields (nil: there is none)
    ``refuse(code, text, wait_ms)``  nothing is appended; the code is one of ``conflict``, ``forbidden``,
                                    ``invalid_input``, ``not_found``, ``rate_limited``, ``too_large``, or of
                                    ``refusals``
    ``instead(data, reply)``        append this JSON instead; ``reply`` (text) goes back to the caller
    ``skip(reply)``                 append nothing
    ==============================  ===================================================================================

    It returns what ``refuse``, ``instead`` or ``skip`` return, or nothing: then ``data`` is appended.
    """

    lua: str
    refusals: tuple[type[AirnodeError], ...] = ()
    #: Names of all parts of the room's state that it uses, so that Redis knows every key of the script.
    keys: tuple[str, ...] = ()


NO_CHECK = CheckScript("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is to be appended.

    Attributes:
        data: a JSON object, encoded.
        user: JSON of who did it, for the class record.
        id: empty: the log makes one. at: unix milliseconds; 0: now.
        sent_by, client_id: an append with the same pair within 15 minutes is answered like the first one.
        recorded: whether the class record gets it.
    """

    room: str
    event: str
    data: bytes
    user: bytes = b"{}"
    id: str = ""
    at: int = 0
    audience: str = ""
    sent_by: str = ""
    client_id: str = ""
    recorded: bool = True
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(9))

    @property
    def raw(self) -> msgspec.Raw:
        return msgspec.Raw(self.data)

    def once(self) -> "Draft":
        """Return the draft so that it is appended once, however often that is tried, and under one id."""
        return replace(self, id=self.nonce, client_id=self.client_id or f"~{self.nonce}")

    def entry(self, appended: "Appended") -> LogEntry:
        """Return the entry that the draft became."""
        return LogEntry(
            room=self.room,
            epoch=appended.epoch,
            offset=appended.offset,
            event=self.event,
            id=appended.id,
            at=appended.at,
            data=msgspec.Raw(appended.data),
            audience=self.audience,
            nonce=self.nonce,
        )

    def kept(self, at: int) -> "Draft":
        """Return the draft with the time at which it was delivered already."""
        return replace(self, at=at)


@dataclass(frozen=True, slots=True)
class Appended:
    """The result of an append.

    Attributes:
        is_new: False: it was appended before (the same ``client_id``), or the script skipped it.
        at: unix milliseconds.
        data: what was appended; empty if it was appended before. reply: the script's text for the caller.
        dropped_facts: the oldest facts for the class record that Redis dropped for this one.
    """

    is_new: bool
    epoch: str
    offset: int
    at: int
    id: str
    data: bytes
    reply: str
    dropped_facts: int = 0


@dataclass(frozen=True, slots=True)
class LogPosition:
    """The position of the last entry, and the offset of the oldest entry that is still there (0: there is none)."""

    epoch: str
    offset: int
    oldest: int = 0


def channel_of(room: str) -> str:
    """Return the name of the pub/sub channel of a room's entries and signals."""
    return f"chat.{room}"


class RoomLog:
    """The logs of all rooms. All methods raise ``Unavailable`` (503) when Redis does not answer within two seconds."""

    def __init__(self, bus: Bus, section: ChatSection) -> None:
        self._bus = bus
        self._section = section
        self._keep_ms = round(section.log_keep_s * 1000)
        #: {Lua source: the script}; there are as many as checks in the code.
        self._scripts: dict[str, AsyncScript] = {}

    async def append(
        self, draft: Draft, check: CheckScript = NO_CHECK, args: Sequence[str | bytes | int] = ()
    ) -> Appended:
        """Run the check, and append unless it refuses.

        Raises:
            AirnodeError: the check refused, with the class of its code.
            TooLarge: the data is above 128 KiB.
        """
        if len(draft.data) > MAX_DATA_BYTES:
            raise TooLarge(f"An entry of {len(draft.data)} bytes is above the limit of {MAX_DATA_BYTES}.")
        section = self._section
        sent = keys.chat("sent", draft.room, draft.sent_by, draft.client_id) if draft.client_id else ""
        names = [keys.chat("outbox"), sent, *(keys.chat("state", draft.room, name) for name in check.keys)]
        answer = await self._run(
            append_with(check.lua, check.keys),
            draft.room,
            names if sent else [names[0], keys.chat("head", draft.room), *names[2:]],
            keys.channel(channel_of(draft.room)),
            draft.room,
            draft.event,
            draft.id,
            draft.nonce,
            draft.data,
            draft.user,
            section.log_entries,
            self._keep_ms,
            section.outbox_entries if draft.recorded else 0,
            int(bool(sent)),
            _escaped(draft.audience),
            _AGAIN_S,
            draft.at,
            *args,
        )
        return _appended(answer, check)

    async def position(self, room: str) -> LogPosition:
        """Return where the log of a room ends; begin it if there is none."""
        epoch, offset, oldest = await self._run(POSITION, room, [], self._keep_ms)
        return LogPosition(epoch.decode(), int(offset), int(oldest))

    async def renew_epoch(self, room: str, seen: LogPosition) -> LogPosition:
        """Begin a new epoch if Redis is behind what was seen of the current one; return the position."""
        epoch, offset = await self._run(RENEW, room, [], seen.epoch, seen.offset, self._keep_ms)
        return LogPosition(epoch.decode(), int(offset))

    async def after(self, room: str, offset: int, limit: int = _BATCH) -> list[LogEntry]:
        """Return the oldest entries above an offset, in order, at most ``limit``."""
        async with _in_time():
            found: Any = await self._bus.client.xrange(keys.chat("log", room), min=f"{offset + 1}-0", count=limit)
        return [entry for each in found if (entry := _stored(room, each)) is not None]

    async def before(self, room: str, offset: int | None, limit: int = _BATCH) -> list[LogEntry]:
        """Return the newest entries below an offset (None: of all), in order, at most ``limit``."""
        async with _in_time():
            found: Any = await self._bus.client.xrevrange(
                keys.chat("log", room), max="+" if offset is None else f"({offset}-0", count=limit
            )
        return [entry for each in reversed(found) if (entry := _stored(room, each)) is not None]

    async def state(self, room: str, name: str) -> dict[str, bytes]:
        """Return a hash of the room's state; empty if there is none."""
        async with _in_time():
            found: Any = await self._bus.client.hgetall(keys.chat("state", room, name))
        return {field_.decode(errors="replace"): value for field_, value in found.items()}

    async def _run(self, source: str, room: str, more: list[str], *arguments: str | bytes | int) -> list[bytes]:
        """Run a script with the keys of a room's head and log, and ``more`` keys."""
        names = [keys.chat("head", room), keys.chat("log", room), *more]
        async with _in_time():
            script = self._scripts.get(source)
            if script is None:
                script = self._scripts[source] = self._bus.client.register_script(source)
            answer: list[bytes] = await script(keys=names, args=arguments, client=self._bus.client)
        return answer


@contextlib.asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """Raise Unavailable (503) if Redis fails, or does not answer in time."""
    with unavailable("The chat's Redis does not answer."):
        async with asyncio.timeout(ANSWER_S):
            try:
                yield
            except ResponseError as error:
                if "script" not in str(error) or "OOM" in str(error):
                    raise  # such as LOADING, READONLY: it may work later
                raise RuntimeError(f"a check script is wrong: {error}") from error


def _escaped(text: str) -> bytes:
    """Return a text as the inside of a JSON string: the script puts it between quotes."""
    return msgspec.json.encode(text)[1:-1]


def _appended(answer: list[bytes], check: CheckScript) -> Appended:
    status, *rest = (part.decode() if isinstance(part, bytes) else str(part) for part in answer)
    if status == "refused":
        code, text, wait_ms = rest
        own = next((each for each in check.refusals if each.code == code), None)
        kind = own or _REFUSALS.get(code, InvalidInput)
        raise kind(text, retry_after_s=float(wait_ms) / 1000 or None)
    epoch, offset, at, id_, _, reply, dropped = rest
    return Appended(status == "appended", epoch, int(offset), int(at), id_, answer[5], reply, int(dropped))


def _stored(room: str, entry: tuple[bytes, Mapping[bytes, bytes]]) -> LogEntry | None:
    """Return an entry of the stream; None if it is not one of ours."""
    key, fields = entry
    try:
        return LogEntry(
            room=room,
            epoch=fields[b"epoch"].decode(),
            offset=int(key.partition(b"-")[0]),
            event=fields[b"event"].decode(),
            id=fields[b"id"].decode(),
            at=int(fields[b"at"]),
            data=msgspec.Raw(fields[b"data"]),
            audience=msgspec.json.decode(b'"' + fields[b"audience"] + b'"', type=str),
            nonce=fields[b"nonce"].decode(),
        )
    except (KeyError, ValueError, msgspec.DecodeError):
        return None
