"""Who is in a room, over all nodes. No I/O."""

from collections import Counter
from collections.abc import Iterable, Mapping

from airnode.chat.rooms.people import User


class Roster:
    """The people of a room by node. Somebody who is there twice counts once.

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
        #: What changed since it was last reported to members: {user id: whether it was there before}.
        self._before: dict[str, bool] = {}

    @property
    def count(self) -> int:
        return len(self._places)

    @property
    def own(self) -> Mapping[str, User]:
        """Return the people on this node, {id: user}."""
        return self._nodes[self._own]

    @property
    def others(self) -> Iterable[str]:
        """Return the other nodes where somebody may be."""
        return list(self._heard_s)

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._places

    def users(self) -> list[User]:
        """Return everybody, by name."""
        found = {user.id: user for people in self._nodes.values() for user in people.values()}
        return sorted(found.values(), key=lambda user: (user.role != "teacher", user.name, user.id))

    # -- this node ----------------------------------------------------------------------------------------------------

    def enter(self, user: User) -> bool:
        """Add a connection of somebody on this node; return whether it is the first one."""
        self._here[user.id] += 1
        known = self._nodes[self._own].get(user.id)
        if known != user:
            self._set(self._own, user)
        return known != user

    def leave(self, user: User) -> bool:
        """Remove a connection; return whether it was the last one."""
        self._here[user.id] -= 1
        if self._here[user.id] > 0:
            return False
        del self._here[user.id]
        self._unset(self._own, user.id)
        return True

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

    def take_changes(self) -> tuple[list[User], list[str]]:
        """Return who came and who left since the last call."""
        before, self._before = self._before, {}
        joined = [user for user_id, was in before.items() if not was and (user := self._find(user_id)) is not None]
        left = [user_id for user_id, was in before.items() if was and user_id not in self._places]
        return joined, left

    def _find(self, user_id: str) -> User | None:
        return next((people[user_id] for people in self._nodes.values() if user_id in people), None)

    def _set(self, node: str, user: User) -> None:
        people = self._nodes.setdefault(node, {})
        if user.id not in people:
            self._before.setdefault(user.id, user.id in self._places)
            self._places[user.id] += 1
        people[user.id] = user

    def _unset(self, node: str, user_id: str) -> None:
        people = self._nodes.get(node, {})
        if people.pop(user_id, None) is None:
            return
        self._before.setdefault(user_id, True)
        self._places[user_id] -= 1
        if not self._places[user_id]:
            del self._places[user_id]
