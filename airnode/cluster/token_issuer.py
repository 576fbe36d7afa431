"""Issues tokens: checks who may join a class, and chooses the session and the node. No HTTP."""

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, Protocol

from prometheus_client import CollectorRegistry, Counter

from airnode.bus.messages import NodeRecord
from airnode.cluster.classes import Class
from airnode.cluster.codes import is_teacher_key, normal_code
from airnode.cluster.identities import Person, identify
from airnode.cluster.shown_names import ShownNames
from airnode.config.sections.auth import AuthSection
from airnode.errors import (
    AirnodeError,
    FieldError,
    Forbidden,
    InvalidInput,
    NoHealthyNodes,
    Removed,
    Unauthenticated,
    Unavailable,
)
from airnode.web.credentials import same_secret
from airnode.web.rate_limit import AttemptLimit
from airnode.web.tokens import Claims, StudentIdentity, Tokens, UserType, is_token

_MAX_ID_CHARS = 128
_MAX_AVOID_CHARS = 512


class ClassLookup(Protocol):
    """Finds classes and stores users. All methods raise Unavailable (503) without the database."""

    async def by_room(self, room: str) -> Class:
        """Return the class of ``room``; NotFound (404) if there is none."""
        ...

    async def by_code(self, code: str) -> Class | None:
        """Return the class of ``code``; None: no class has it."""
        ...

    async def by_teacher_key(self, key: str) -> Class | None:
        """Return the class that a teacher key opens; None: there is none."""
        ...

    async def record_user(self, user_id: str, user_type: str, display_name: str) -> None:
        """Store the time of the user's last visit and, if it is given, the name to show."""
        ...


class IdOwners(Protocol):
    """Knows whose the ids are that clients gave themselves; see :class:`airnode.cluster.own_ids.OwnIds`."""

    async def claim(self, user_id: str, student_ids: Sequence[str]) -> bool:
        """Return whether an id belongs to the student with these signed ids. Raises Unavailable (503)."""
        ...

    async def give_back(self, user_id: str, student_id: str) -> None:
        """Free an id that belongs to this student. Raises Unavailable (503)."""
        ...


class NodeChoice(Protocol):
    """Chooses nodes. Both methods raise NoHealthyNodes (503) if none is left."""

    async def for_viewer(self, room: str, session_id: str, avoid: Collection[str] = ()) -> NodeRecord:
        """Reserve a place for a viewer and return its node."""
        ...

    def for_publisher(self, room: str, avoid: Collection[str] = ()) -> NodeRecord:
        """Return the node to publish to."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOrder:
    """A request for a token.

    Attributes:
        address: IP address of the client.
        code: class code as it was typed. secret: the teacher secret, or the teacher key of a class.
        credential: the request's bearer: a student's present token, or what ``secret`` may be.
        room: the room of the class, if no code is given; empty: the default room.
        avoid: ids of nodes that just failed this student, with commas between them.
        student: a student's signed identity as an app sends it. cookie: as a browser does.
    """

    user_type: UserType
    user_id: str
    address: str
    code: str = ""
    secret: str = ""
    credential: str = ""
    room: str = ""
    name: str = ""
    avoid: str = ""
    student: str = ""
    cookie: str = ""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A signed token, its class, and the node to watch or to publish at.

    Attributes:
        identity: of a student.
    """

    text: str
    claims: Claims
    joined: Class
    node: NodeRecord
    identity: StudentIdentity | None = None


class TokenIssuer:
    """Admits students and teachers, chooses their nodes and signs their tokens.

    Args:
        own_ids: None: clients are believed (``auth.own_ids = trusted``).
        names: checks names, and tells people of one name apart.
        attempts: limits requests, and wrong codes and secrets, per network.
        default_room: used where a request names no room.
    """

    def __init__(
        self,
        section: AuthSection,
        default_room: str,
        *,
        tokens: Tokens,
        classes: ClassLookup,
        nodes: NodeChoice,
        names: ShownNames,
        own_ids: IdOwners | None,
        attempts: AttemptLimit,
        registry: CollectorRegistry,
    ) -> None:
        self._join: Literal["code", "open", "closed"] = section.student_join
        self._teacher_secret = section.teacher_secret.get_secret_value()
        self._default_room = default_room
        self._tokens = tokens
        self._classes = classes
        self._nodes = nodes
        self._names = names
        self._own_ids = own_ids
        self._attempts = attempts
        self._issued = Counter("airnode_tokens_issued_total", "Tokens issued", ["user_type"], registry=registry)

    async def issue(self, order: TokenOrder) -> IssuedToken:
        """Return a new token; a student who shows a valid token of the same class keeps its session.

        Raises:
            InvalidInput: (400) a field is too long or not printable, or the name looks like the teacher's.
            Forbidden: (403) the code or the secret is missing or wrong, or joining is closed.
            Removed: (403) the teacher removed this student from the class.
            NotFound: (404) a teacher's room does not exist.
            NoHealthyNodes: (503) no node is left.
            Unavailable: (503) the database does not answer.
        """
        _check_order(order)
        if order.user_type == "teacher":
            return await self._issue_teacher(order, *await self._taught(order))
        return await self._issue_student(order, await self._attended(order))

    async def _issue_teacher(self, order: TokenOrder, joined: Class, own_class: bool) -> IssuedToken:
        name = await self._names.teacher(joined.room, order.user_id, order.name)
        await self._classes.record_user(order.user_id, "teacher", name)
        text, claims = self._tokens.issue(order.user_id, "teacher", joined.room, name=name, own_class=own_class)
        node = await self._node(claims, _avoided(order), renewed=False)
        return self._done(IssuedToken(text, claims, joined, node))

    async def _issue_student(self, order: TokenOrder, joined: Class) -> IssuedToken:
        present = self._present(order, joined.room)
        person = wanted = identify(
            self._tokens, user_id=order.user_id, student=order.student, cookie=order.cookie, present=present
        )
        if wanted.has_own_id and not await self._owns_id(wanted):
            # Whoever got a signed id before, and still sends the other one, stays the same student by the token.
            person = wanted.without_own_id()
            if present is not None and not wanted.is_proven:
                person = identify(self._tokens, user_id=present.user_id, present=present)
        try:
            return await self._admit(order, joined, wanted, person)
        except AirnodeError:
            if person is wanted and wanted.has_own_id and not wanted.is_proven:
                await self._give_back_id(wanted)
            raise

    async def _admit(self, order: TokenOrder, joined: Class, wanted: Person, person: Person) -> IssuedToken:
        """Return the token of ``person``, who asked to be ``wanted``."""
        try:
            # Who took a removed student's id is refused, too: it may be that student, without the cookie.
            self._tokens.require_not_removed(joined.room, (wanted.user_id, *wanted.also))
        except Removed:
            self._attempts.count_refused("removed")
            raise
        own_id = order.user_id if order.user_id == wanted.user_id else ""
        name = await self._names.student(joined.room, person.user_id, order.name, own_id)
        await self._classes.record_user(person.user_id, "student", name.given)
        session_id = person.renewed.session_id if person.renewed is not None else None
        text, claims = self._tokens.issue(
            person.user_id, "student", joined.room, session_id, name=name.shown, also=person.also
        )
        node = await self._node(claims, _avoided(order), renewed=session_id is not None)
        return self._done(IssuedToken(text, claims, joined, node, person.identity))

    async def _give_back_id(self, person: Person) -> None:
        """Free an id that was just claimed with an identity which nobody gets, because the request is refused."""
        if self._own_ids is not None:
            with contextlib.suppress(Unavailable):
                await self._own_ids.give_back(person.user_id, person.identity.student_id)

    async def _owns_id(self, person: Person) -> bool:
        return self._own_ids is None or await self._own_ids.claim(person.user_id, person.signed_ids)

    def _done(self, issued: IssuedToken) -> IssuedToken:
        self._issued.labels(issued.claims.user_type).inc()
        return issued

    async def _attended(self, order: TokenOrder) -> Class:
        """Return the class that a student may join."""
        if self._join == "closed":
            self._refuse(order.address, "closed", "Joining is closed at the moment.")
        if order.code:
            found = await self._classes.by_code(normal_code(order.code))
            if found is None:
                self._refuse(order.address, "code", "This class code is not right; ask your teacher for it.")
            return found
        if self._join == "code":
            self._refuse(order.address, "code", "A class code is needed; ask your teacher for it.")
        return await self._classes.by_room(order.room or self._default_room)

    async def _taught(self, order: TokenOrder) -> tuple[Class, bool]:
        """Return the class that a teacher teaches, and whether the secret opens no other one."""
        given = order.secret or order.credential
        if same_secret(given, self._teacher_secret):
            return await self._classes.by_room(order.room or self._default_room), False
        found = await self._classes.by_teacher_key(given) if is_teacher_key(given) else None
        if found is None:
            self._refuse(order.address, "secret", "The teacher secret is missing or not right.")
        if order.room not in ("", found.room):
            raise Forbidden("This teacher key is for another class.")
        return found, True

    def _present(self, order: TokenOrder, room: str) -> Claims | None:
        """Return the claims of the valid token that a student of this class shows."""
        if is_token(order.credential):
            with contextlib.suppress(Unauthenticated):
                claims = self._tokens.verify(order.credential)
                return claims if (claims.user_type, claims.room) == ("student", room) else None
        return None

    async def _node(self, claims: Claims, avoid: Collection[str], *, renewed: bool) -> NodeRecord:
        """Return a student's node, with a place reserved there, or the node that a teacher publishes to.

        A student who renews stays in the class even where all nodes are full.
        """
        if claims.user_type == "student":
            try:
                return await self._nodes.for_viewer(claims.room, claims.session_id, avoid)
            except NoHealthyNodes:
                if not renewed:
                    raise
        return self._nodes.for_publisher(claims.room, avoid)

    def _refuse(self, address: str, reason: str, detail: str) -> NoReturn:
        self._attempts.count_wrong(address, reason)
        raise Forbidden(detail)


def _check_order(order: TokenOrder) -> None:
    check_text("user_id", order.user_id, _MAX_ID_CHARS)
    if order.name:
        check_text("name", order.name, _MAX_ID_CHARS)
    if order.avoid:
        check_text("avoid", order.avoid, _MAX_AVOID_CHARS)


def _avoided(order: TokenOrder) -> Collection[str]:
    return order.avoid.split(",") if order.avoid else ()


def check_text(path: str, text: str, max_chars: int) -> None:
    """Raise InvalidInput (400) unless ``text`` is 1 to ``max_chars`` printable characters."""
    if not 1 <= len(text) <= max_chars or not text.isprintable():
        message = f"{path} must be 1 to {max_chars} printable characters."
        raise InvalidInput(message, errors=[FieldError(path, message)])
