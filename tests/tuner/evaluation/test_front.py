"""The front and the sentence on what learning adds say what the numbers say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.traces.reader import Trace
from tests.tuner.evaluation.test_report import compared, read
from tests.tuner.evaluation.test_running import InOrder
from tuner.evaluation.comparison import Comparison, Record
from tuner.evaluation.front import FRONT_RISKS, RULE, at_price, split_front
from tuner.evaluation.report import write_report
from tuner.evaluation.sentences import rule_sentence


def worse(record: Record, tuner: str, factor: float) -> Record:
    """Return the run of another tuner that finds a share of what this one found."""
    run = record.run
    return Record(tuner, record.case, record.seed, replace(run, true_score=factor * run.true_score))


def scaled(comparison: Comparison, **factors: float) -> Comparison:
    """Return tuners whose answers are given shares of those of the first tuner."""
    own = [each for each in comparison.records if each.tuner == comparison.tuners[0]]
    records = [worse(each, tuner, factor) for tuner, factor in factors.items() for each in own]
    return replace(comparison, records=tuple(records))


@pytest.fixture(scope="module")
def base(trace: Trace) -> Comparison:
    return compared(trace, 40.0, 60.0, 100.0, 200.0, policy=InOrder)


def test_learning_adds_what_the_interval_shows(base: Comparison) -> None:
    better = rule_sentence(scaled(base, policy=0.9, expected_gain=0.8), "policy")
    assert "learning adds " in better
    assert "nothing" not in better
    assert "points after 3 measurements" in better
    assert "a loss of" in rule_sentence(scaled(base, policy=0.8, expected_gain=0.9), "policy")
    same = rule_sentence(scaled(base, policy=0.9, expected_gain=0.9), "policy")
    assert "learning adds nothing after 3 measurements" in same
    assert "and nothing after 8" in same


def test_without_the_rule_or_a_policy_nothing_is_said(base: Comparison) -> None:
    assert not rule_sentence(scaled(base, policy=0.9), "policy")
    assert not rule_sentence(scaled(base, random=0.9, expected_gain=0.9), "random")


def test_the_front_has_a_point_for_each_tuner_and_price(base: Comparison, tmp_path) -> None:
    prices = {at_price(name, risk): 0.9 for name in ("policy", RULE) for risk in FRONT_RISKS}
    whole = scaled(base, policy=0.9, expected_gain=0.9, **prices)
    proper, points = split_front(whole)
    assert proper.tuners == ("policy", RULE)
    assert [(point.tuner, point.risk) for point in points] == [
        (name, risk) for name in ("policy", RULE) for risk in FRONT_RISKS
    ]
    assert [each.budget for each in points[0].after] == [3, 8]
    assert np.ptp([point.broken_share for point in points]) == 0.0
    html = write_report(tmp_path / "report.html", proper, None, front=points).read_text()
    page = read(html)
    assert "What does each broken limit buy?" in page.text
    assert "Over the untrained rule at equal risk, learning adds nothing" in page.text
    plain = write_report(tmp_path / "plain.html", proper, None).read_text()
    assert "What does each broken limit buy?" not in plain
