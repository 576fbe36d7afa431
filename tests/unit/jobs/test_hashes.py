"""BullMQ's form of jobs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.bus.jobs.hashes import PLACES, children_of, options_of, per_minute, to_bullmq, to_event, to_record
from airnode.bus.jobs.keys import PREFIX, check_job, job_ref, jobs_access
from airnode.bus.jobs.records import ChildResult, JobEventKind, JobOptions, JobRef, JobState
from airnode.errors import InvalidInput

REF = JobRef("q", "a")


def test_options_survive_bullmq():
    options = JobOptions(
        attempts=5, backoff_ms=70, priority=9, delay_ms=8, keep_completed=0, keep_failed=4, timeout_s=1.5
    )
    written = to_bullmq(options, "a", JobRef("p", "b"), f"{PREFIX}:p")
    assert written["parent"] == {"id": "b", "queue": "airnode:{jobs}:p"}
    assert options_of({"opts": json.dumps(written), "priority": "9"}) == options


@pytest.mark.parametrize("opts", ["", "[]", "{", '{"attempts": "x", "backoff": 5, "removeOnComplete": true}'])
def test_options_of_other_producers_have_defaults(opts):
    options = options_of({"opts": opts})
    assert (options.attempts, options.keep_failed, options.timeout_s) == (1, 50, 600)
    assert options.keep_completed == (0 if "true" in opts else 10)


@given(st.dictionaries(st.sampled_from(["data", "opts", "progress", "atm", "stacktrace", "timestamp"]), st.text()))
def test_no_hash_of_others_breaks_the_reader(fields):
    for place in PLACES:
        assert to_record(REF, fields, place).id == "a"


def test_a_record_of_a_failed_and_of_a_cancelled_job():
    fields = {
        "name": "n",
        "data": '{"x":1}',
        "opts": '{"attempts":3}',
        "timestamp": "10",
        "processedOn": "20",
        "finishedOn": "30",
        "atm": "3",
        "failedReason": "why",
        "stacktrace": '["one","two"]',
        "parentKey": f"{PREFIX}:p:b",
        "pb": "w",
    }
    record = to_record(REF, fields, "failed")
    assert (record.state, record.traceback, record.parent) == (JobState.FAILED, "two", JobRef("p", "b"))
    assert (record.enqueued_at_ms, record.started_at_ms, record.ended_at_ms, record.worker) == (10, 20, 30, "w")
    assert to_record(REF, {**fields, "cancelled": "25"}, "failed").state is JobState.CANCELLED
    assert to_record(REF, {**fields, "cancelled": "25"}, "active").state is JobState.ACTIVE


def test_children_by_their_ids():
    found = children_of({f"{PREFIX}:q:b": '"B"'}, {f"{PREFIX}:q:a": ""})
    assert found == [ChildResult(JobRef("q", "a"), failed_reason="failed"), ChildResult(JobRef("q", "b"), result="B")]


def test_events_that_nobody_asks_for_are_left_out():
    assert to_event("q", {"event": "drained"}) is None
    assert to_event("q", {"event": "added", "jobId": "a"}) is None
    found = to_event("q", {"event": "progress", "jobId": "a", "data": "50"})
    assert found is not None
    assert (found.kind, found.progress) == (JobEventKind.PROGRESS, 50)


@pytest.mark.parametrize(
    ("totals", "points", "now_min", "expected"),
    [
        ({}, [], 10, []),
        ({"count": "3", "prevCount": "0", "prevTS": "600000"}, [], 10, [3]),
        ({"count": "3", "prevCount": "1", "prevTS": "600000"}, ["1"], 12, [0, 0, 2, 1]),
    ],
)
def test_jobs_by_minute(totals, points, now_min, expected):
    assert per_minute(totals, points, now_min * 60_000 + 30) == expected


@pytest.mark.parametrize(
    ("queue", "job_id"), [("Q", "a"), ("q:x", "a"), ("q", "a:b"), ("q", "7"), ("q", ""), ("", "a"), ("q", "wait")]
)
def test_names_that_bullmq_would_misread_are_refused(queue, job_id):
    with pytest.raises(InvalidInput):
        check_job(queue, job_id)


def test_rights_are_for_the_named_queues_only():
    access = jobs_access("long-files", "short-files")
    assert access.keys[:2] == ("airnode:{jobs}:long-files:*", "airnode:{jobs}:short-files:*")
    assert access.channels == ("airnode:ch:jobs.long-files", "airnode:ch:jobs.short-files")
    assert job_ref(f"{PREFIX}:long-files:a.b") == JobRef("long-files", "a.b")
