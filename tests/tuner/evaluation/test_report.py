"""The report, its sentences, and its labels."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from envs.errors import StorageError
from envs.spec import Goal, Objectives
from envs.traces.reader import Trace
from tests.tuner.evaluation.small_trace import InOrder, backwards, small_trace
from tuner.evaluation.cases import TraceCases
from tuner.evaluation.live_check import LiveCheck
from tuner.evaluation.plots import progress_plot
from tuner.evaluation.report import write_report
from tuner.evaluation.report_parts import agreement_sentence
from tuner.evaluation.running import compare
from tuner.evaluation.sentences import headline, learning_sentence, verdict_on_learning
from tuner.evaluation.statistics import curves

VOID = {"meta", "br", "img", "hr", "link", "input"}


class Reader(HTMLParser):
    """Fails where tags do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for key, value in attrs if key == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return reader


def limits(tenants: int, *p99_ms: float, power_w: float = math.inf) -> Objectives:
    return Objectives(
        np.repeat(np.array(p99_ms)[:, None], tenants, axis=1), np.full(len(p99_ms), power_w)
    )


def compared(trace, *p99_ms, power_w=math.inf, seeds=(0, 1), budgets=(1, 3, 8), **tuners):
    cases = TraceCases(trace, limits(trace.space.shape[0], *p99_ms, power_w=power_w))
    return compare(tuners or {"policy": backwards, "in_order": InOrder}, cases, seeds, budgets)


def report_text(comparison, trace) -> str:
    return write_report(trace.path.with_name("text.html"), comparison, trace).read_text()


def test_a_report_stands_alone_and_says_where_its_numbers_come_from(tmp_path):
    trace = small_trace(tmp_path, ("<b>", "cost $x_1$"), batches=(1,), power=True)
    comparison = compared(trace, 40.0, 20.0, 1.0, power_w=13.5)
    check = LiveCheck(100, 80, 20, 20, True, True, "<i>here</i>")
    path = write_report(
        tmp_path / "out" / "report.html",
        comparison,
        trace,
        provenance={"command": "a < b"},
        live_checks=[check],
    )
    html = path.read_text()
    found = read(html)
    assert "http" not in html
    assert "<script" not in html
    assert not {"script", "link", "img", "iframe", "b>"} & set(found.tags)
    assert "<b>:" not in html
    assert "<i>here" not in html
    assert html.count("&lt;b&gt;") >= 2
    assert "Replayed from a trace measured on Test board at 2025-01-02 03:04:05 UTC" in found.text
    assert "a < b" in found.text
    assert "drifted by 20 %" in found.text
    # Progress, a plane for each network, outcomes, and two kinds of cost.
    assert found.tags.count("figure") == 6
    assert len(found.ids) == len(set(found.ids))
    for target in re.findall(r'(?:href="#|url\(#)([^")]+)', html):
        assert target in found.ids
    assert not list(path.parent.glob(".*"))


def test_a_report_without_power_or_with_one_run_or_nothing_to_find(tmp_path):
    trace = small_trace(tmp_path)
    found = read(report_text(compared(trace, 10.0, seeds=(0,), budgets=(1,)), trace))
    assert "power was not measured" in found.text
    assert "joules" not in found.text
    assert "nan" not in found.text.lower().replace("nano", "")
    nothing = read(report_text(compared(trace, 0.5), trace))
    assert "nothing to find" in nothing.text
    free = read(report_text(compared(trace, math.inf), trace))
    assert "no limit" in free.text


def test_three_tenants_have_a_panel_each(tmp_path):
    trace = small_trace(tmp_path, ("a", "b", "c"), max_instances=1, batches=(1,))
    html = report_text(compared(trace, 60.0), trace)
    assert all(f"p99 latency of {name}, ms" in html for name in "abc")


def test_the_axis_has_marks_where_every_tuner_starts_at_the_optimum(tmp_path):
    trace = small_trace(tmp_path, power=True, keep=lambda each: not each.array()[0, 1, 0])
    comparison = compared(trace, 5.0)
    assert (curves(comparison, "policy").share == 1).all()
    assert ">97 %<" in progress_plot(comparison, "policy")


def test_simulated_is_never_called_measured(tmp_path):
    trace = small_trace(tmp_path, runtime="simulated", complete=False)
    text = read(report_text(compared(trace, 10.0), trace)).text
    assert "Replayed from a trace simulated for Test board" in text
    assert "incomplete recording" in text


def test_the_headline_follows_the_numbers(tmp_path):
    trace = small_trace(tmp_path, power=True)
    best_last = {"policy": backwards, "in_order": InOrder}
    assert headline(compared(trace, math.inf, **best_last), "policy").startswith(
        "After 3 measurements the policy reaches 100.0 % of the optimum; "
    )
    worse = headline(compared(trace, math.inf, policy=InOrder, in_order=backwards), "policy")
    assert worse.startswith("In order wins: after 3 measurements it reaches 100.0 %")
    assert "a tie with other" in headline(
        compared(trace, math.inf, policy=InOrder, other=InOrder), "policy"
    )
    assert "nothing to compare" in headline(
        compared(trace, math.inf, policy=InOrder, oracle=backwards), "policy"
    )


def test_the_headline_says_what_others_need(tmp_path):
    trace = small_trace(tmp_path, power=True)
    count = len(trace.rows)
    long = compared(trace, math.inf, policy=backwards, in_order=InOrder, budgets=(3, count))
    assert re.search(r"the next to get as far, in order, needs \d+\.$", headline(long, "policy"))
    short = compared(trace, math.inf, policy=backwards, in_order=InOrder, budgets=(3,))
    assert headline(short, "policy").endswith("nothing else gets as far within 3 measurements.")


def test_it_says_if_learning_was_needed():
    assert verdict_on_learning(80, 100, 7500.0, "policy", 8).startswith(
        "No learning was needed: there are 80 configurations to choose from"
    )
    needed = verdict_on_learning(960, 100, 7500.0, "policy", 8, 3, 12.0)
    assert needed == (
        "Enumerating the space costs 960 measurements, 2.1 h; the policy is within 3 % of the"
        " optimum after 3 measurements, 12 s."
    )


def test_a_tuner_that_never_gets_near_is_held_to_the_measurements_that_it_made(tmp_path):
    trace = small_trace(tmp_path, max_instances=4, batches=(1, 2, 4, 8), power=True)
    cases = TraceCases(trace, limits(1, math.inf))
    tuners = {"policy": InOrder, "other": backwards}
    comparison = compare(tuners, cases, (0,), (3, 100), {"policy": 2})
    assert learning_sentence(comparison, trace, "policy").endswith(
        "the policy does not get within 3 % of the optimum within its 2 measurements."
    )


def test_a_live_check_in_words():
    assert LiveCheck(100, 108, 20, 19, True, False).sentence().startswith("within 10 %")
    assert (
        LiveCheck(100, 100, 20, 25, True, False)
        .sentence()
        .startswith("the machine drifted by 25 %")
    )
    assert (
        LiveCheck(100, 200, 20, 25, False, False)
        .sentence()
        .startswith("measured on another machine")
    )
    assert "do not trust" in LiveCheck(100, 100, 20, 20, True, True).sentence()
    assert (
        LiveCheck(math.nan, 100, 20, 20, True, False).sentence().startswith("nothing can be said")
    )


def test_a_report_that_cannot_be_written_says_so(tmp_path):
    trace = small_trace(tmp_path)
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError):
        write_report(tmp_path / "taken" / "report.html", compared(trace, 10.0), trace)


def test_the_least_agreement_of_a_recording_is_told(trace: Trace, tmp_path: Path) -> None:
    """The world of `trace` compares its answers; a small trace does not."""
    rows = [dict(row) for row in trace.rows]
    rows[4] |= {"net0.agreement": 0.9912, "net0.agreement_samples": 40.0}
    said = " Recorded answers agree with those of FP32: net0 at least 0.991 (on 40 samples)."
    assert agreement_sentence(replace(trace, rows=rows)) == said
    assert agreement_sentence(small_trace(tmp_path)) == ""


def test_a_report_on_energy_speaks_of_joules_and_throughput_of_inferences(tmp_path: Path) -> None:
    trace = small_trace(tmp_path, power=True)
    texts = {}
    for goal in (Goal.THROUGHPUT, Goal.ENERGY):
        cases = TraceCases(trace, replace(limits(1, 40.0), goal=goal))
        found = compare({"policy": backwards, "in_order": InOrder}, cases, (0,), (1, 3))
        texts[goal] = report_text(found, trace)
    energy, throughput = texts[Goal.ENERGY], texts[Goal.THROUGHPUT]
    assert "The goal is least energy for an inference (score in inferences/J)." in energy
    assert "inferences per joule" in energy
    assert "throughput, inferences/s" not in energy
    batch = trace.batch
    per_joule = (batch.throughput_ips[:, 0] / batch.power_w)[batch.p99_ms[:, 0] <= 40.0]
    assert f"optimum {per_joule.max():.1f}/J" in energy
    assert "throughput, inferences/s" in throughput
    assert "inferences per joule" not in throughput
