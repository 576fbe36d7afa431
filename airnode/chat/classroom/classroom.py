"""The classroom of this process: it registers the events of classes, and sends removed students away."""

from airnode.bus.removals import Removal, Removals
from airnode.chat.classroom.actions import ClassActions
from airnode.chat.classroom.hands import Hands
from airnode.chat.classroom.moderation import Moderation
from airnode.chat.classroom.polls import Polls
from airnode.chat.classroom.questions import Questions
from airnode.chat.classroom.rules import ClassroomRules
from airnode.chat.classroom.signals import Reactions, Typing
from airnode.chat.rooms.application import ChatApplication
from airnode.config.sections.chat import ChatSection
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope


class Classroom(Service):
    """Polls, hands, questions, reactions, typing and moderation of all rooms."""

    name = "classroom"

    def __init__(
        self, application: ChatApplication, section: ChatSection, removals: Removals, tasks: TaskScope
    ) -> None:
        super().__init__()
        self._application = application
        self._actions = actions = ClassActions(application, section, tasks)
        hands = Hands(actions)
        application.rules = ClassroomRules(application.rooms, removals)
        application.on("hand", hands.handle)
        application.on("poll", Polls(actions).handle)
        application.on("ask", Questions(actions).handle)
        application.on("moderation", Moderation(actions, hands, removals).handle)
        application.on("reaction", Reactions(actions).handle)
        application.on("typing", Typing(actions).handle)
        removals.listen(self._follow)

    async def start(self) -> None:
        """Nothing to start: everything happens on an event."""

    async def stop(self) -> None:
        """End what would be published later."""
        await self._actions.stop()

    def _follow(self, removal: Removal) -> None:
        if not removal.readmitted:
            self._application.expel(removal.room, frozenset({removal.user_id}))
