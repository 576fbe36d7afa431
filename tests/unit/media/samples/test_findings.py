"""Findings: bounded codes, one notice and one log line a kind, the same sentences as in the studio."""

import json
import re
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

import airnode
from airnode.media.samples.findings import KINDS, LOG_EVERY_S, REPORT_S, Findings

ENCODERS = Path(airnode.__file__).parents[1] / "docs/encoders.md"
MESSAGES = Path(airnode.__file__).parent / "ui/src/i18n"


def test_each_kind_has_a_sentence_in_both_languages() -> None:
    english, korean = (json.loads((MESSAGES / lang / "encoder.json").read_text()) for lang in ("en", "ko"))
    for code, kind in KINDS.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
        assert english[f"finding.{code}"] == kind.sentence
        assert re.search(r"[가-힣]", korean[f"finding.{code}"])
        assert kind.sentence.endswith(".")


def test_the_page_on_encoders_has_each_kind() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", ENCODERS.read_text(), re.M)
    assert {code: (action, sentence) for code, action, sentence in rows} == {
        code: (kind.action, kind.sentence) for code, kind in KINDS.items()
    }


def test_a_kind_is_counted_each_time_and_said_once() -> None:
    registry = CollectorRegistry()
    counter = Counter("odd_samples", "Odd", ["track", "reason"], registry=registry)
    findings = Findings("algebra", counter)
    with capture_logs() as logs:
        for index in range(100):
            findings.add("video", "annexb", 1000 + index / 30)
        findings.add("audio", "latm", 1004.0)
        findings.add("video", "annexb", 1000 + LOG_EVERY_S)
    assert findings.counts == {("video", "annexb"): 101, ("audio", "latm"): 1}
    assert registry.get_sample_value("odd_samples_total", {"track": "video", "reason": "annexb"}) == 101
    assert [(line["event"], line["reason"], line["left_out"]) for line in logs] == [
        ("sample_repaired", "annexb", 0),
        ("sample_dropped", "latm", 0),
        ("sample_repaired", "annexb", 99),
    ]
    assert [notice.code for notice in findings.notices(1010.0)] == ["annexb", "latm"]
    assert [notice.code for notice in findings.notices(1004.5 + REPORT_S)] == ["annexb"]
