"""Sentences of a report, which follow from its numbers alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from envs.traces.reader import Trace
from envs.traces.remark import published_origin
from tuner.evaluation.bootstrap import Difference, difference, ties
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.front import RULE
from tuner.evaluation.statistics import (
    NEAR_OPTIMUM,
    Summary,
    cost_to_reach,
    measurements_to_reach,
    shares_at,
    summarize,
)
from tuner.search.registry import SEARCHES

#: Tuners that know the outcomes and do not search for them.
NO_COMPETITOR = ("oracle",)


@dataclass(frozen=True)
class Standing:
    """The tuner that a headline is about, and the best other one.

    Attributes:
        focus: the tuner's numbers.
        rival: the best other tuner after the same number of measurements; None if there is none.
        verdict: 'better', 'worse' or 'tie' of the focus against the rival.
    """

    focus: Summary
    rival: Summary | None
    verdict: str


def standing(comparison: Comparison, focus: str, budget: int) -> Standing | None:
    """Compare `focus` with the others; None where no case has a feasible configuration."""
    if not comparison.exists.any():
        return None
    here = {
        tuner: summarize(comparison, tuner, min(budget, comparison.budget(tuner)))
        for tuner in comparison.tuners
    }
    rival = max(
        (here[tuner] for tuner in competitors(comparison, focus)),
        key=lambda each: each.share_mean,
        default=None,
    )
    if rival is None:
        return Standing(here[focus], None, "better")
    ours, theirs = (shares_at(comparison, tuner, budget) for tuner in (focus, rival.tuner))
    return Standing(here[focus], rival, ties(ours, theirs))


def competitors(comparison: Comparison, focus: str) -> list[str]:
    """Return the other tuners that search."""
    return [tuner for tuner in comparison.tuners if tuner != focus and tuner not in NO_COMPETITOR]


def headline(comparison: Comparison, focus: str, budget: int = 3) -> str:
    """Return the verdict in one or two sentences."""
    found = standing(comparison, focus, budget)
    if found is None:
        return (
            "No configuration keeps the limits of any of these objectives, so there was nothing to"
            " find."
        )
    us, rival, name = found.focus, found.rival, _the(focus)
    start = f"After {times(us.budget)} {name} reaches {_percent(us.share_mean)} of the optimum"
    if rival is None:
        return f"{start}; there was nothing to compare it with."
    if found.verdict == "tie":
        return f"{start}, a tie with {_the(rival.tuner)} ({_percent(rival.share_mean)})."
    if found.verdict == "worse":
        return (
            f"{_capital(_the(rival.tuner))} wins: after {times(rival.budget)} it reaches"
            f" {_percent(rival.share_mean)} of the optimum, {name} {_percent(us.share_mean)}."
        )
    return f"{start}; {_next_best(comparison, focus, us.share_mean)}."


def _next_best(comparison: Comparison, focus: str, share: float) -> str:
    others = competitors(comparison, focus)
    counts = [(measurements_to_reach(comparison, tuner, share), tuner) for tuner in others]
    reached = [(count, tuner) for count, tuner in counts if count is not None]
    if not reached:
        longest = max(map(comparison.budget, others))
        return f"nothing else gets as far within {times(longest)}"
    count, tuner = min(reached)
    return f"the next to get as far, {_the(tuner)}, needs {count}"


def verdict_on_learning(
    candidates: int,
    requested_budget: int,
    enumeration_s: float,
    tuner: str,
    budget: int,
    reached: int | None = None,
    tuning_s: float = math.nan,
) -> str:
    """Say whether measuring every configuration would have done as well.

    Durations that are not known (NaN) are left out.

    Args:
        candidates: number of configurations.
        requested_budget: measurements that the comparison was ready to spend.
        enumeration_s: time to measure all configurations.
        tuner: the tuner in question.
        budget: measurements that it made.
        reached: measurements after which it is near the optimum; None if it never is.
        tuning_s: their time.
    """
    cost = enumerating(candidates, requested_budget, enumeration_s)
    if candidates <= requested_budget:
        return cost
    near = f"within {100 * (1 - NEAR_OPTIMUM):.0f} % of the optimum"
    if reached is None:
        return f"{cost}; {_the(tuner)} does not get {near} within its {times(budget)}."
    return f"{cost}; {_the(tuner)} is {near} after {times(reached)}{_duration(tuning_s)}."


def enumerating(candidates: int, requested_budget: int, enumeration_s: float) -> str:
    """Say that no learning was needed, or, without a full stop, what measuring everything costs.

    Args:
        candidates: number of configurations.
        requested_budget: measurements that may be made.
        enumeration_s: time to measure all configurations; NaN if it is not known.
    """
    if candidates <= requested_budget:
        return (
            f"No learning was needed: there are {candidates:,} configurations to choose from, and"
            f" measuring them all costs no more than the budget of {times(requested_budget)}."
        )
    return f"Enumerating the space costs {times(candidates)}{_duration(enumeration_s)}"


def learning_sentence(comparison: Comparison, trace: Trace | None, focus: str) -> str:
    """Return `verdict_on_learning` of a comparison.

    A configuration that was not recorded is taken to cost the mean of the others.
    """
    if trace is None:
        costs = np.concatenate([record.run.cost_s for record in comparison.records])
        total_s = comparison.candidates * float(np.mean(costs))
    else:
        known = trace.batch.cost_s[trace.batch.cost_s > 0]
        total_s = float(known.sum()) if len(known) else math.nan
    return verdict_on_learning(
        comparison.candidates,
        comparison.requested_budget,
        total_s,
        focus,
        comparison.budget(focus),
        measurements_to_reach(comparison, focus),
        cost_to_reach(comparison, focus)[0],
    )


def rule_sentence(comparison: Comparison, focus: str) -> str:
    """Say what a trained tuner adds over the untrained rule at equal risk, with intervals.

    Empty where it is not compared with the rule, or where no case has a feasible configuration.
    """
    compared = {focus, RULE} <= set(comparison.tuners) and focus != RULE
    if not compared or focus in SEARCHES or not comparison.exists.any():
        return ""
    longest = min(comparison.budgets[-1], comparison.budget(focus), comparison.budget(RULE))
    budgets = sorted({min(budget, longest) for budget in (3, 8)})
    gained = {
        budget: difference(
            shares_at(comparison, focus, budget), shares_at(comparison, RULE, budget)
        )
        for budget in budgets
    }
    ours, theirs = (
        [summarize(comparison, tuner, budget) for budget in budgets] for tuner in (focus, RULE)
    )
    return (
        f"{added_by_learning(gained)}:"
        f" {_the(focus)} reaches {_shares(ours)} of the optimum, the rule {_shares(theirs)};"
        f" {_percent(ours[-1].broken_share)} and {_percent(theirs[-1].broken_share)} of their"
        " measurements broke a limit."
    )


def added_by_learning(gained: Mapping[int, Difference]) -> str:
    """Say what learning adds over the rule, by number of measurements; without a full stop."""
    said = [
        f"{_added(gap)} after {budget if number else times(budget)}"
        f" (95 %: {100 * gap.low:+.1f} to {100 * gap.high:+.1f} points)"
        for number, (budget, gap) in enumerate(gained.items())
    ]
    return f"Over the untrained rule at equal risk, learning adds {' and '.join(said)}"


def _added(gap: Difference) -> str:
    """Return what learning adds in words: nothing where the interval contains zero."""
    if gap.verdict == "tie":
        return "nothing"
    return (
        f"{100 * gap.mean:.1f} points"
        if gap.mean > 0
        else f"a loss of {-100 * gap.mean:.1f} points"
    )


def _shares(found: list[Summary]) -> str:
    return " and ".join(_percent(each.share_mean) for each in found)


def origin_label(trace: Trace | None) -> str:
    """Return the origin of the numbers; simulated ones are never called measured."""
    if trace is None:
        return "simulated by the device model; no device was measured"
    facts = trace.metadata
    if "published" in facts:
        return (
            f"replayed from published measurements of {trace.space.device.name.split(' (')[0]}"
            f" ({published_origin(trace)}), a partial recording"
        )
    how = "simulated for" if facts.get("runtime") == "simulated" else "measured on"
    when = str(facts.get("started", "")).replace("T", " ").replace("Z", " UTC") or "an unknown time"
    part = "" if facts.get("complete", True) else ", an incomplete recording"
    return f"replayed from a trace {how} {trace.space.device.name} at {when}{part}"


def times(count: int) -> str:
    """Return a number of measurements in words."""
    return f"{count:,} measurement{'s' * (count != 1)}"


def _the(tuner: str) -> str:
    return "the policy" if tuner == "policy" else tuner.replace("_", " ")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _duration(seconds: float) -> str:
    """Return seconds in words behind a comma; nothing for NaN."""
    if math.isnan(seconds):
        return ""
    if seconds < 120:
        return f", {seconds:,.0f} s"
    return f", {seconds / 60:,.0f} min" if seconds < 7200 else f", {seconds / 3600:,.1f} h"
