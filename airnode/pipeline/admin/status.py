"""The answer of ``GET /api/pipeline/status``. Times are unix seconds."""

from typing import Literal

import msgspec

from airnode.bus.messages import Notice
from airnode.web.alarms import Alarm

Store = Literal["redis", "postgres"]


class MemberView(msgspec.Struct):
    """A running process, in one of its roles.

    Attributes:
        troubles: what keeps it from working, as sentences.
        notices: what keeps it from working, with codes; older nodes send none.
    """

    role: str
    node_name: str
    troubles: list[str]
    notices: list[Notice] = []


class TopicView(msgspec.Struct):
    """A topic, over all processes.

    Attributes:
        produced_per_s, landed_per_s: over the last five seconds.
        dead: records that became dead letters.
        lag: records that no group has inserted yet; null: no consumer reports it.
    """

    topic: str
    produced: int
    produced_per_s: float
    landed: int
    landed_per_s: float
    dead: int
    lag: int | None


class LagView(msgspec.Struct):
    """The number of records of a topic that a group has not inserted yet."""

    group: str
    topic: str
    records: int


class LetterView(msgspec.Struct):
    """A dead letter; ``airnode dlq`` shows all of it.

    Attributes:
        offset: as text, because offsets on Redis Streams are too large for numbers of JavaScript.
    """

    letter_id: str
    topic: str
    partition: int
    offset: str
    reason: str
    detail: str
    attempts: int
    died_at: float


class DeadLettersView(msgspec.Struct):
    """Dead letters that were not replayed.

    Attributes:
        total: counted up to ``counted_up_to``.
        last: the latest five.
    """

    total: int
    counted_up_to: int
    last: list[LetterView]


class CacheView(msgspec.Struct):
    """The cache of users and products.

    Attributes:
        users, products: rows in it. swaps: refreshes so far.
        hits, misses: reads of all readers so far. hit_ratio: 0 to 1, of the last minutes; null: nobody read.
        refreshed_at: null: never. interval_s: time between two refreshes.
        oldest_uncached_age_s: the longest time that a row was not cached, as of the last refresh.
        worker: node of the cache-worker that is the leader.
    """

    users: int
    products: int
    swaps: int
    hits: int
    misses: int
    hit_ratio: float | None
    refreshed_at: float | None
    interval_s: float
    oldest_uncached_age_s: float
    worker: str


class CourseView(msgspec.Struct):
    """A course and what was sold of it."""

    product_id: int
    title: str
    orders: int
    revenue_krw: int


class OrdersView(msgspec.Struct):
    """Orders that have landed.

    Attributes:
        last_hour, revenue_last_hour_krw: of the minutes in ``series``.
        top_courses: the five with the most orders ever.
    """

    last_hour: int
    revenue_last_hour_krw: int
    top_courses: list[CourseView]


class SeriesView(msgspec.Struct):
    """The last hour by minute, the running one last: as many entries in each list.

    Attributes:
        minutes: where each begins.
        elapsed_s: seconds of the last minute that have passed.
        produced, landed: events. lag: the most in the minute, of all groups; null: no consumer reported it.
        hit_ratio: 0 to 1; null: nobody read the cache.
        orders: by when they were made.
    """

    minutes: list[int]
    elapsed_s: float
    produced: list[int]
    landed: list[int]
    lag: list[int | None]
    hit_ratio: list[float | None]
    orders: list[int]


class KeptView(msgspec.Struct):
    """Rows of the class record in the database.

    Attributes:
        attendance: times in which somebody was in a class. poll_answers: of all polls.
        dead_letters: facts of classes that could not be landed.
        counted_up_to: each count ends here.
    """

    sessions: int = 0
    attendance: int = 0
    messages: int = 0
    questions: int = 0
    polls: int = 0
    poll_answers: int = 0
    hands: int = 0
    dead_letters: int = 0
    counted_up_to: int = 0


class ClassRecordView(msgspec.Struct):
    """The class record: what is kept, and facts of classes on their way there.

    Attributes:
        waiting: facts that are not on the event log. oldest_s: age of the oldest.
        dropped: facts that Redis dropped because too many waited.
        kept: null: the database does not answer.
        last_landed_at: begin of the last minute in which something landed, unix seconds; null: none in the last hour.
        max_age_s: older rows are deleted; 0: they are kept.
    """

    waiting: int = 0
    oldest_s: float = 0.0
    dropped: int = 0
    kept: KeptView | None = None
    last_landed_at: float | None = None
    max_age_s: float = 0.0


class PipelineStatus(msgspec.Struct):
    """The data pipeline, over all processes.

    Attributes:
        missing: stores that did not answer; the members that need them are empty.
        running: whether a producer or a consumer runs.
        alarms: of the pipeline and its stores, the worst first.
    """

    server_time: float
    missing: list[Store]
    running: bool
    members: list[MemberView]
    topics: list[TopicView]
    groups: list[LagView]
    dead_letters: DeadLettersView
    cache: CacheView
    orders: OrdersView
    series: SeriesView
    alarms: list[Alarm] = []
    class_record: ClassRecordView = msgspec.field(default_factory=ClassRecordView)
