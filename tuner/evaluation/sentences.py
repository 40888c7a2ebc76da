"""Sentences that a report makes out of numbers. None of them is fixed: each says what these numbers say, whoever wins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.traces.reader import Trace
from tuner.evaluation.protocol import Comparison
from tuner.evaluation.statistics import (
    NEAR_OPTIMUM,
    Summary,
    cost_to_reach,
    measurements_to_reach,
    shares_at,
    summarize,
    ties,
)

#: What only shows what there is to find, and does not search for it.
NO_COMPETITOR = ("oracle",)

#: A live check within this is taken as agreement.
AGREEMENT = 0.10


@dataclass(frozen=True)
class LiveCheck:
    """One configuration as the trace has it and as it was measured again for this report.

    Attributes:
        same_machine: whether it ran on the machine that the trace was recorded on.
        disturbed: whether something else used the machine too much to trust the live window.
        label: which configuration.
    """

    trace_ips: float
    live_ips: float
    trace_p99_ms: float
    live_p99_ms: float
    same_machine: bool
    disturbed: bool
    label: str = ""


@dataclass(frozen=True)
class Standing:
    """Whom a headline is about, how it did, and who came next.

    Attributes:
        rival: the best other tuner after the same number of measurements; None if there is no other.
        verdict: 'better', 'worse' or 'tie' of the focus against the rival.
    """

    focus: Summary
    rival: Summary | None
    verdict: str


def standing(comparison: Comparison, focus: str, at: int) -> Standing | None:
    """How `focus` stands after `at` measurements; None where no context has a feasible configuration."""
    if not comparison.exists.any():
        return None
    here = {
        tuner: summarize(comparison, tuner, min(at, len(comparison.runs(tuner)[0][0])))
        for tuner in comparison.tuners
    }
    rivals = [here[tuner] for tuner in here if tuner != focus and tuner not in NO_COMPETITOR]
    rival = max(rivals, key=lambda each: each.share_mean, default=None)
    outcome = (
        ties(shares_at(comparison, focus, at), shares_at(comparison, rival.tuner, at))
        if rival
        else "better"
    )
    return Standing(here[focus], rival, outcome)


def headline(comparison: Comparison, focus: str, at: int = 3) -> str:
    """The verdict in one or two sentences."""
    found = standing(comparison, focus, at)
    if found is None:
        return "No configuration keeps the limits of any of these objectives, so there was nothing to find."
    us, rival, name = found.focus, found.rival, _the(focus)
    start = f"After {_times(us.budget)} {name} reaches {_percent(us.share_mean)} of the optimum"
    if rival is None:
        return f"{start}; there was nothing to compare it with."
    if found.verdict == "tie":
        return f"{start}, a tie with {_the(rival.tuner)} ({_percent(rival.share_mean)})."
    if found.verdict == "worse":
        theirs = (
            f"after {_times(rival.budget)} it reaches {_percent(rival.share_mean)} of the optimum"
        )
        return f"{_the(rival.tuner, True)} wins: {theirs}, {name} {_percent(us.share_mean)}."
    return f"{start}; {_who_else_gets_there(comparison, focus, us.share_mean)}."


def _who_else_gets_there(comparison: Comparison, focus: str, share: float) -> str:
    others = [tuner for tuner in comparison.tuners if tuner != focus and tuner not in NO_COMPETITOR]
    reached = [
        (count, tuner)
        for tuner in others
        if (count := measurements_to_reach(comparison, tuner, share)) is not None
    ]
    if not reached:
        longest = max(len(comparison.runs(tuner)[0][0]) for tuner in others)
        return f"nothing else gets as far within {_times(longest)}"
    count, tuner = min(reached)
    return f"the next to get as far, {_the(tuner)}, needs {count}"


def verdict_on_learning(
    candidates: int,
    budget: int,
    enumeration_s: float = math.nan,
    tuner: str = "policy",
    measurements: int | None = None,
    tuning_s: float = math.nan,
) -> str:
    """Whether enumerating would have done.

    Args:
        budget: measurements that one was ready to spend.
        enumeration_s: what measuring all candidates takes.
        tuner, measurements, tuning_s: who is near the optimum after how many measurements and seconds; None if never.
    """
    if candidates <= budget:
        count = f"the space has {candidates:,} configurations"
        return f"No learning was needed: {count}, and measuring them all costs no more than the budget of {_times(budget)}."
    cost = f"Enumerating the space costs {_times(candidates)}"
    if math.isfinite(enumeration_s):
        cost += f", {_duration(enumeration_s)}"
    near = f"within {100 * (1 - NEAR_OPTIMUM):.0f} % of the optimum"
    if measurements is None:
        return f"{cost}; {_the(tuner)} does not get {near} within the budget of {budget:,}."
    spent = f", {_duration(tuning_s)}" if math.isfinite(tuning_s) else ""
    return f"{cost}; {_the(tuner)} is {near} after {_times(measurements)}{spent}."


def learning_sentence(comparison: Comparison, trace: Trace | None, focus: str) -> str:
    """`verdict_on_learning` of a comparison. What was not recorded would take as long as what was measured did, on average."""
    count = measurements_to_reach(comparison, focus)
    if trace is None:
        total_s = comparison.candidates * float(
            np.mean(np.concatenate([record.run.cost_s for record in comparison.records]))
        )
    else:
        total_s = float(trace.batch.cost_s[trace.batch.cost_s > 0].sum())
    return verdict_on_learning(
        comparison.candidates,
        comparison.asked_budget,
        total_s,
        focus,
        count,
        cost_to_reach(comparison, focus)[0],
    )


def live_sentence(check: LiveCheck) -> str:
    """Whether what the trace says still holds."""
    ips, late = check.live_ips / check.trace_ips - 1, check.live_p99_ms / check.trace_p99_ms - 1
    worst = max(abs(ips), abs(late))
    live = f"{check.live_ips:,.1f} inferences/s and p99 {check.live_p99_ms:,.1f} ms live"
    numbers = f"{live}, {check.trace_ips:,.1f} and {check.trace_p99_ms:,.1f} ms in the trace"
    if not math.isfinite(worst):
        return f"nothing can be said: {numbers}."
    moved = f"{_signed(ips)} throughput, {_signed(late)} p99"
    if not check.same_machine:
        said = f"measured on another machine than the trace ({moved}); numbers of one machine do not carry over to another"
    elif worst <= AGREEMENT:
        said = f"within {100 * AGREEMENT:.0f} % ({moved})"
    else:
        said = f"the machine drifted by {100 * worst:.0f} % ({moved})"
    return f"{said}: {numbers}{'; something else used the machine meanwhile, so do not trust this window' if check.disturbed else ''}."


def limits_in_words(comparison: Comparison, context: int, names: Sequence[str]) -> str:
    """The limits of one context, to three digits."""
    limits = comparison.contexts[context].objective
    parts = [
        f"{name} p99 at most {limit:.3g} ms"
        for name, limit in zip(names, limits.p99_ms, strict=True)
        if math.isfinite(limit)
    ]
    parts += [f"power at most {limits.power_w:.3g} W"] if math.isfinite(limits.power_w) else []
    return ", ".join(parts) or "no limit"


def origin_label(trace: Trace | None) -> str:
    """Where the numbers come from. What was simulated is never called measured."""
    if trace is None:
        return "simulated by the device model; no device was measured"
    facts: dict[str, Any] = trace.metadata
    how = "simulated for" if facts.get("runtime") == "simulated" else "measured on"
    when = str(facts.get("started", "")).replace("T", " ").replace("Z", " UTC") or "an unknown time"
    part = "" if facts.get("complete", True) else ", an incomplete recording"
    return f"replayed from a trace {how} {trace.space.device.name} at {when}{part}"


def _the(tuner: str, first: bool = False) -> str:
    """A tuner's name in a sentence."""
    name = tuner.replace("_", " ")
    if name == "policy":
        return "The policy" if first else "the policy"
    return name[:1].upper() + name[1:] if first else name


def _times(count: int) -> str:
    return f"{count:,} measurement{'s' * (count != 1)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _signed(change: float) -> str:
    return f"{100 * change:+.0f} %"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
