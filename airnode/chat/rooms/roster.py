"""Who is in a room, over all nodes. No I/O."""

from collections import Counter
from collections.abc import Iterable, Mapping, Set

from airnode.chat.rooms.people import User


class Roster:
    """The people of a room by node. Somebody who is there twice counts once.

    Who only watches, with no chat, counts too; such people have no name here, and are not listed.

    Args:
        own: id of this node.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        #: {node: {user id: user}}.
        self._nodes: dict[str, dict[str, User]] = {own: {}}
        #: {node: loop time of its last sign of life}; without this node.
        self._heard_s: dict[str, float] = {}
        #: {user id: number of nodes}.
        self._places: Counter[str] = Counter()
        #: {user id: connections on this node}.
        self._here: Counter[str] = Counter()
        #: Students who watch on this node.
        self._watching: Set[str] = frozenset()
        #: What changed since members were told: {user id: as they know it; None: not at all}; and the count they know.
        self._before: dict[str, User | None] = {}
        self._told_count = 0

    @property
    def count(self) -> int:
        return len(self._places)

    @property
    def own(self) -> Mapping[str, User]:
        """Return the people on this node, {id: user}."""
        return self._nodes[self._own]

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._places

    def users(self) -> list[User]:
        """Return everybody who has a name: teachers, then by name."""
        found = {user.id: user for people in self._nodes.values() for user in people.values() if user.name}
        return sorted(found.values(), key=lambda user: (user.role != "teacher", user.name, user.id))

    def student(self, user_id: str) -> User | None:
        """Return the student with this id, who may have a teacher's; None: there is none."""
        found = (people.get(user_id) for people in self._nodes.values())
        user = next((user for user in found if user is not None and user.role == "student"), None)
        return user if user is None or user.name else User(user_id, user_id, "student")

    # -- this node ----------------------------------------------------------------------------------------------------

    def enter(self, user: User) -> bool:
        """Add a connection of somebody on this node; return whether anything is different."""
        self._here[user.id] += 1
        return self._set(self._own, user)

    def leave(self, user: User) -> bool:
        """Remove a connection; return whether anything is different: it was the last one."""
        self._here[user.id] -= 1
        if self._here[user.id] > 0:
            return False
        del self._here[user.id]
        if user.id in self._watching:
            return self._set(self._own, User(user.id, "", user.role))
        return self._unset(self._own, user.id)

    def watch(self, user_ids: Set[str]) -> list[str]:
        """Take the students who watch on this node now; return the ids for which anything is different."""
        came, went = user_ids - self._watching, self._watching - user_ids
        self._watching = frozenset(user_ids)
        changed = [each for each in came if each not in self._here and self._set(self._own, User(each, "", "student"))]
        return changed + [each for each in went if each not in self._here and self._unset(self._own, each)]

    # -- other nodes --------------------------------------------------------------------------------------------------

    def change(self, node: str, joined: Iterable[User], left: Iterable[str], count: int, now_s: float) -> bool:
        """Apply what another node reports; return False if something was missed, so that it must be read."""
        if node == self._own:
            return True
        self._heard_s[node] = now_s
        for user in joined:
            self._set(node, user)
        for user_id in left:
            self._unset(node, user_id)
        return len(self._nodes.get(node, ())) == count

    def replace(self, node: str, people: Mapping[str, User], now_s: float) -> None:
        """Take the people of another node as they were read."""
        if node == self._own:
            return
        self._heard_s[node] = now_s
        for user_id in list(self._nodes.get(node, ())):
            if user_id not in people:
                self._unset(node, user_id)
        for user in people.values():
            self._set(node, user)

    def forget_silent(self, since_s: float) -> None:
        """Forget the nodes that were last heard before ``since_s``."""
        for node, heard_s in list(self._heard_s.items()):
            if heard_s < since_s:
                self.forget(node)

    def forget(self, node: str) -> None:
        """Forget a node, and everybody who was there."""
        for user_id in list(self._nodes.get(node, ())):
            self._unset(node, user_id)
        self._nodes.pop(node, None)
        self._heard_s.pop(node, None)

    # -- changes ------------------------------------------------------------------------------------------------------

    def take_changes(self) -> tuple[list[User], list[str]] | None:
        """Return who came and who left since the last call; None if nothing is different, the count included.

        Who has another name came anew.
        """
        before, self._before = self._before, {}
        now = {user_id: self._find(user_id) for user_id in before}
        joined = [user for user_id, user in now.items() if user is not None and user != before[user_id]]
        left = [user_id for user_id, user in now.items() if user is None and before[user_id] is not None]
        if not joined and not left and self.count == self._told_count:
            return None
        self._told_count = self.count
        return joined, left

    def _find(self, user_id: str) -> User | None:
        """Return somebody who has a name on any node."""
        found = (people.get(user_id) for people in self._nodes.values())
        return next((user for user in found if user is not None and user.name), None)

    def _note(self, user_id: str) -> None:
        if user_id not in self._before:
            self._before[user_id] = self._find(user_id)

    def _set(self, node: str, user: User) -> bool:
        people = self._nodes.setdefault(node, {})
        if people.get(user.id) == user:
            return False
        self._note(user.id)
        if user.id not in people:
            self._places[user.id] += 1
        people[user.id] = user
        return True

    def _unset(self, node: str, user_id: str) -> bool:
        people = self._nodes.get(node, {})
        if user_id not in people:
            return False
        self._note(user_id)
        del people[user_id]
        self._places[user_id] -= 1
        if not self._places[user_id]:
            del self._places[user_id]
        return True
