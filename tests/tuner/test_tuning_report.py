"""The report of a tuning has the numbers of the answer, also where there is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from envs.problems.problem import Problem
from envs.spec import (
    Configuration,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Goal,
    Objective,
    Origin,
    Outcome,
)
from tests.commands import call
from tests.tuner.evaluation.test_report import Reader, read
from tests.worlds import respond, space
from tuner.answer import Answer
from tuner.answer_text import answer_table
from tuner.tuning import TuningStopped, tune
from tuner.tuning_report import write_tuning_report

LOST = Failure(FailureKind.BUILD_FAILED, "no kernel for <Foo>", 2.0)


class InTurn:
    """Proposes every third configuration."""

    def __init__(self, problem: Problem) -> None:
        rows = map(Configuration.of, problem.candidates[::3])
        self._proposals = iter([problem.default, *rows])

    def ask(self) -> Configuration:
        return next(self._proposals)

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        return None


def tuned(
    objective: Objective,
    measure: Callable[[Configuration], Outcome] | None = None,
    world: ConfigurationSpace | None = None,
) -> Answer:
    world = world or space()
    problem = Problem(world, world.catalogue, objective, world.default(), seed=1)
    answers = measure or (lambda each: respond(world, each, power=True))
    return tune(InTurn(problem), problem, answers, 8, pairs=3)


def page(answer: Answer, tmp_path: Path) -> tuple[str, Reader]:
    html = write_tuning_report(tmp_path / "tuning.html", answer).read_text()
    assert not re.search(r"<script|http|url\(", html)
    return html, read(html)


def test_the_first_screen_says_what_was_asked_found_paid_and_how_sure_it_is(tmp_path):
    answer = tuned(Objective((120.0,), 40.0))
    html, found = page(answer, tmp_path)
    text = found.text
    assert text.index("What was asked") < text.index("What was measured?")
    assert f"{answer.configuration} is the best that was found" in text
    assert f"{answer.throughput_ips:.3g}/s" in text
    assert f"{answer.p99_ms:.3g} ms" in text
    assert f"{answer.power_w:.3g} W" in text
    assert "p99; limit 120 ms" in text
    assert "power of the board; limit 40 W" in text
    assert f"\N{MULTIPLICATION SIGN} {answer.confirmation.ratio.times:.2f}" in text
    assert "Measured on paper computer" in text
    assert "as many requests as it can serve" in text
    assert "Most throughput with net0 p99 <= 120 ms, power <= 40 W" in text
    assert "net0: 2 instances with a batch size of 1 on cpu_int8" in text
    assert f"{len(answer.tried)} measurements: {answer.searched} of the search" in text
    seconds = sum(outcome.cost_s for _, outcome in answer.tried)
    assert f"{seconds:,.0f} s" in text
    assert "3 of its 3 confirming windows kept every limit" in text
    below = 100 * (1 - answer.p99_ms / 120)
    assert f"p99 of net0 is {below:.1f} % below its limit" in text
    candidates = len(answer.problem.candidates)
    assert f"Enumerating the space costs {candidates} measurements" in text
    _, rows = answer_table(answer)
    for row in rows:
        assert "".join(f"<td>{cell}</td>" for cell in row) in html
    assert html.count('class="dot"') == len(answer.tried) + 1


def test_nothing_within_the_limits_says_so_and_what_came_closest(tmp_path):
    answer = tuned(Objective((0.1,), min_rate_ips=(1e5,)))
    assert not answer.limits_kept
    _, found = page(answer, tmp_path)
    assert f"No answer within the limits; {answer.configuration} came closest" in found.text
    assert "No configuration that was measured meets the limits" in found.text
    assert "limit 0.1 ms, broken" in found.text
    assert "too much is asked for" in found.text
    assert "given above" not in found.text
    assert "times its limit; throughput of net0 is" in found.text
    assert "Closest so far" in found.text
    assert "is the best that was found" not in found.text


def test_a_tuning_in_which_every_window_failed_has_its_reason(tmp_path):
    html, found = page(tuned(Objective((120.0,)), lambda each: LOST), tmp_path)
    assert "Nothing could be measured" in found.text
    assert "no kernel for <Foo>" in found.text
    assert "<Foo>" not in html
    assert "svg" not in found.tags
    assert not re.search(r"\bnan\b", found.text)


def test_a_stopped_tuning_is_not_called_confirmed(tmp_path):
    count = 0

    def measure(configuration: Configuration) -> Outcome:
        nonlocal count
        count += 1
        if count > 3:
            raise KeyboardInterrupt
        return respond(space(), configuration)

    with pytest.raises(TuningStopped) as stopped:
        tuned(Objective((120.0,)), measure)
    _, found = page(stopped.value.answer, tmp_path)
    assert "Stopped before it was confirmed; best so far: cpu_int8 2x1" in found.text
    assert "3 measurements: 3 of the search, 0 to confirm" in found.text


def test_goals_other_than_throughput_come_first_in_their_unit(tmp_path):
    quick = tuned(Objective((120.0,), goal=Goal.LATENCY))
    html, found = page(quick, tmp_path)
    assert html.index(f"<b>{quick.p99_ms:.3g} ms</b>") < html.index("/s</b>")
    assert "less is better" in found.text
    saving = tuned(Objective((120.0,), goal=Goal.ENERGY))
    html, found = page(saving, tmp_path)
    score = saving.problem.judge(saving.outcome)[0]
    assert f'<div class="main"><b>{score:.3g}/J</b>' in html
    assert "inferences/J" in found.text


def test_simulated_is_never_called_measured(tmp_path):
    world = space()
    answer = tuned(
        Objective((120.0,)),
        lambda each: replace(respond(world, each), origin=Origin.SIMULATED),
    )
    _, found = page(answer, tmp_path)
    assert "Simulated by the device model of paper computer; no device was measured" in found.text
    assert "Measured on" not in found.text


def test_hostile_names_are_text_and_several_networks_have_a_plane_each(tmp_path):
    world = space(2, max_instances=2, batches=(1,))
    name = "<script>alert(1)</script>"
    tenants = (replace(world.workload.tenants[0], name=name), world.workload.tenants[1])
    world = replace(world, workload=replace(world.workload, tenants=tenants))
    html, found = page(tuned(Objective((500.0, 400.0)), world=world), tmp_path)
    assert "<script" not in html
    assert found.text.count(": every window, numbered") == 4  # in its caption and as its name
    assert f"{name}: 1 instance" in found.text


def test_the_command_writes_it_and_tries_its_place_first(small_onnx, tmp_path):
    given = ("--network", small_onnx, "--runtime", "simulated", "--board", "orin_nano_8")
    report = tmp_path / "tuning.html"
    result = call("tune", *given, "--p99-ms", 0.001, "--measurements", 3, "--report", report)
    assert result.returncode == 3, result.stderr
    assert f"report: {report}" in result.stdout
    text = read(report.read_text()).text
    assert "No answer within the limits" in text
    assert "Simulated by the device model" in text
    assert "--p99-ms" in text or "p99_ms" in text
    result = call("tune", *given, "--report", tmp_path / "no" / "tuning.html")
    assert result.returncode == 2
    assert "measuring" not in result.stdout
