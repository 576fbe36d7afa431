"""Who asks for a token: the stable, signed identity of a student. No I/O.

A student who brings a signed identity (the cookie of a browser, or what an app stored) is this student in all classes,
under whatever name. A client that only sends its own ``user_id`` keeps that as its id, unless it belongs to another
student already (:mod:`.own_ids`); with the token it gets an identity, which remembers this id. So a student who was
removed under one of the ids cannot come back with the other, and nobody speaks under another student's.
"""

from dataclasses import dataclass, replace

from airnode.errors import FieldError, Forbidden, Unauthenticated
from airnode.web.tokens import STUDENT_ID, Claims, StudentIdentity, Tokens, new_student_id

#: In place of an identity: a client that has none wants one, and its id at once.
NEW = "new"


@dataclass(frozen=True, slots=True)
class Person:
    """A student, as this request shows.

    Attributes:
        user_id: the id in the token, which the class sees. also: other ids of the same student.
        identity: to be given back with the next request.
        renewed: the claims of the present token, if it is this student's.
        is_proven: whether an identity or a token shows who it is, and not only the id that the client sends.
    """

    user_id: str
    also: tuple[str, ...]
    identity: StudentIdentity
    renewed: Claims | None = None
    is_proven: bool = True

    @property
    def has_own_id(self) -> bool:
        """Return whether the class sees an id that the client gave itself."""
        return not STUDENT_ID.match(self.user_id)

    @property
    def signed_ids(self) -> list[str]:
        """Return all signed ids, the present one first."""
        others = (each for each in self.also if STUDENT_ID.match(each) and each != self.identity.student_id)
        return [self.identity.student_id, *others]

    def without_own_id(self) -> "Person":
        """Return the student under the signed id, because the other one is somebody else's."""
        signed, taken = self.identity.student_id, self.user_id
        identity = replace(self.identity, earlier=tuple(each for each in self.identity.earlier if each != taken))
        return replace(
            self, user_id=signed, also=tuple(each for each in self.also if each != signed), identity=identity
        )


def identify(
    tokens: Tokens, *, user_id: str, student: str = "", cookie: str = "", present: Claims | None = None
) -> Person:
    """Return who asks.

    Args:
        user_id: the id that the client gives itself.
        student: the identity that an app stored, or ``new``. cookie: that of a browser.
        present: the claims of a valid token of a student for the same class.

    Raises:
        Forbidden: (403) ``user_id`` is another student's signed id.
    """
    brought = [found for text in (student, cookie) if (found := _verified(tokens, text)) is not None]
    if brought:
        return _known(brought, user_id, present)
    if present is not None and user_id in present.ids:
        signed = next((each for each in present.ids if STUDENT_ID.match(each)), None) or new_student_id()
        earlier = tuple(each for each in present.ids if each != signed)
        return Person(present.user_id, present.also, StudentIdentity(signed, earlier), present)
    if student == NEW:
        made = new_student_id()
        return Person(made, (), StudentIdentity(made))
    if STUDENT_ID.match(user_id):
        message = "This user_id was signed for a student; send the identity that came with it as `student`."
        raise Forbidden(message, errors=[FieldError("user_id", message)])
    made = new_student_id()
    return Person(user_id, (made,), StudentIdentity(made, (user_id,)), is_proven=False)


def _known(brought: list[StudentIdentity], user_id: str, present: Claims | None) -> Person:
    """Return the student of the first identity.

    The class sees the id of the present token, if that is the same student's; else the one that this student gave
    before and gives again; else the signed one.
    """
    identity = brought[0]
    ids = list(dict.fromkeys(each for one in brought for each in (one.student_id, *one.earlier)))
    renewed = present if present is not None and not set(ids).isdisjoint(present.ids) else None
    shown = renewed.user_id if renewed is not None else user_id if user_id in ids else identity.student_id
    return Person(shown, tuple(each for each in ids if each != shown), identity, renewed)


def _verified(tokens: Tokens, text: str) -> StudentIdentity | None:
    """Return the identity; None if it is none of ours (any more): the client then gets a new one."""
    if not text or text == NEW:
        return None
    try:
        return tokens.verify_identity(text)
    except Unauthenticated:
        return None
