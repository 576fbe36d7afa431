"""What masters judge to be an alarm of the pipeline."""

from msgspec.structs import replace

from airnode.bus.messages import Notice
from airnode.pipeline.admin.alarms import pipeline_alarms
from airnode.pipeline.admin.overview import DatabaseTotals, ReportedStats, assemble
from airnode.pipeline.admin.stats_reporter import PipelineProcess
from airnode.pipeline.admin.status import PipelineStatus

NOW_S = 1_000_000 * 60 + 15.5


def status(*members: PipelineProcess, missing: tuple[str, ...] = ()) -> PipelineStatus:
    return assemble(ReportedStats(list(members)), DatabaseTotals(), list(missing), NOW_S, 50.0)  # type: ignore[arg-type]


def member(role: str, **values) -> PipelineProcess:
    return PipelineProcess(role=role, **{"node_name": "a", "per_s": {}, "lag": {}, "troubles": [], **values})


def test_a_pipeline_that_nobody_runs_is_no_alarm():
    assert status().alarms == []


def test_stores_that_do_not_answer():
    found = status(missing=("redis", "postgres")).alarms
    assert [(alarm.level, alarm.code) for alarm in found] == [
        ("critical", "redis_missing"),
        ("critical", "postgres_missing"),
    ]


def test_members_report_with_codes_once_each_or_with_words():
    stuck = [Notice("stuck", f"partition {number}", {"partition": number}, level="warning") for number in (1, 2)]
    found = status(member("consumer", troubles=["partition 1", "partition 2", "slow"], notices=stuck)).alarms
    assert [(alarm.code, alarm.fields) for alarm in found] == [
        ("stuck", {"partition": 2, "role": "consumer", "name": "a"}),
        ("member_report", {"role": "consumer", "name": "a", "text": "slow"}),
    ]
    assert found[1].text == "consumer on a: slow"
    assert {alarm.level for alarm in found} == {"warning"}


def test_a_critical_notice_of_a_member_is_a_critical_alarm():
    (alarm,) = status(member("consumer", notices=[Notice("lost", "all is lost")])).alarms
    assert (alarm.level, alarm.code) == ("critical", "lost")


def test_events_without_a_consumer():
    produces = member("producer", per_s={"produced:orders": 6.0})
    assert [alarm.code for alarm in status(produces).alarms] == ["no_consumer"]
    assert status(produces, member("consumer")).alarms == []


def test_dead_letters_and_a_late_cache():
    found = status(member("producer"))
    found.dead_letters = replace(found.dead_letters, total=3)
    found.cache = replace(found.cache, refreshed_at=NOW_S - 80.0)
    assert [(alarm.level, alarm.code, alarm.fields) for alarm in pipeline_alarms(found)] == [
        ("warning", "dead_letters", {"count": 3}),
        ("warning", "cache_late", {"seconds": 30}),
    ]
    found.cache = replace(found.cache, refreshed_at=NOW_S - 64.0)
    assert [alarm.code for alarm in pipeline_alarms(found)] == ["dead_letters"]
