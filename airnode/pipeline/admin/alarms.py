"""Derives the alarms of the pipeline from its status. A pipeline without running processes is no alarm."""

from collections.abc import Iterator

from airnode.pipeline.admin.status import MemberView, PipelineStatus
from airnode.web.alarms import Alarm, worst_first

#: A refresh of the cache is late if it is overdue by more than this.
_CACHE_LATE_S = 15.0
#: A relay needs a moment for a fact of a class; longer than this, it cannot work.
_FACTS_LATE_S = 60.0
_MISSING = {
    "redis": "Redis does not answer. Classes that run go on; new ones cannot start everywhere.",
    "postgres": "PostgreSQL does not answer. Classes that run go on; nobody can join with a code.",
}


def pipeline_alarms(status: PipelineStatus) -> list[Alarm]:
    """Return the alarms of the pipeline and its stores, the worst first."""
    return worst_first(_judge(status))


def _judge(status: PipelineStatus) -> Iterator[Alarm]:
    for store in status.missing:
        yield Alarm(level="critical", code=f"{store}_missing", text=_MISSING[store])
    for member in status.members:
        yield from _reported(member)
    roles = {member.role for member in status.members}
    produces = any(topic.produced_per_s > 0 for topic in status.topics)
    if status.running and "consumer" not in roles and produces:
        text = "Events are made, and no consumer lands them. Start one: airnode --role consumer"
        yield Alarm(level="warning", code="no_consumer", text=text)
    if (count := status.dead_letters.total) > 0:
        text = f"Records that could not be landed and were put aside: {count}. See them with: airnode dlq list"
        yield Alarm(level="warning", code="dead_letters", text=text, fields={"count": count})
    if (waiting := status.class_record).oldest_s > _FACTS_LATE_S:
        text = (
            f"What happened in classes has waited for {waiting.oldest_s:.0f} s for its record. See /health of the "
            "masters and consumers."
        )
        fields: dict[str, str | int | float] = {"seconds": round(waiting.oldest_s), "count": waiting.waiting}
        yield Alarm(level="warning", code="class_record_late", text=text, fields=fields)
    cache = status.cache
    late_s = status.server_time - cache.refreshed_at - cache.interval_s if cache.refreshed_at is not None else 0.0
    if "producer" in roles and late_s > _CACHE_LATE_S:
        text = f"The cache is {late_s:.0f} s late with its refresh. Look at the cache-worker."
        yield Alarm(level="warning", code="cache_late", text=text, fields={"seconds": round(late_s)})


def _reported(member: MemberView) -> Iterator[Alarm]:
    """Yield the alarms that a member reports itself, one per code. Members of earlier versions report no codes."""
    who: dict[str, str | int | float] = {"role": member.role, "name": member.node_name}
    coded = {notice.code: notice for notice in member.notices}
    for notice in coded.values():
        text = f"{member.role} on {member.node_name}: {notice.text}"
        yield Alarm(level=notice.level, code=notice.code, text=text, fields={**notice.fields, **who})
    texts = {notice.text for notice in member.notices}
    for text in dict.fromkeys(member.troubles):
        if text not in texts:
            yield Alarm(
                level="warning",
                code="member_report",
                text=f"{member.role} on {member.node_name}: {text}",
                fields={**who, "text": text},
            )
