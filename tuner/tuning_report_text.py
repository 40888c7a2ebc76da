"""What a tuning report says: what was asked, what was found, what it cost, and how sure it is."""

from __future__ import annotations

import math

from envs.spec import ConfigurationSpace, Failure, Goal, Measurement
from tuner.answer import Answer
from tuner.answer_text import disturbed_lines, found_lines, nothing_measured, unmet
from tuner.charts.text import short
from tuner.confirmation_text import about_confirmation, about_search, interval_words
from tuner.evaluation.sentences import enumerating, times
from tuner.goal_text import against_default

#: From so many times its limit on, a quantity is not told in percent.
MANY_TIMES = 3.0

#: What the origin of the numbers means.
ORIGINS = {
    "simulated": "simulated by the device model of {}; no device was measured",
    "replayed": "replayed from a recording of {}; nothing was measured now",
    "measured": "measured on {}",
}


def origin_of(answer: Answer) -> str:
    """Return where the numbers come from; simulated ones are never called measured."""
    return ORIGINS.get(answer.origin, "{}: " + answer.origin).format(_device(answer))


def headline(answer: Answer) -> str:
    """Return the outcome in one short sentence."""
    if nothing_measured(answer):
        return "Nothing could be measured"
    named = str(answer.configuration)
    if not answer.limits_kept:
        return f"No answer within the limits; {named} came closest"
    if not answer.complete:
        return f"Stopped before it was confirmed; best so far: {named}"
    return f"{named} is the best that was found"


def numbers(answer: Answer) -> list[tuple[str, str]]:
    """Return what the answer gives as large numbers with words below, its goal first."""
    if nothing_measured(answer):
        return []
    goal, objective = answer.problem.objective.goal, answer.problem.objective
    served = (f"{short(answer.throughput_ips)}/s", f"inferences a second{_together(answer)}")
    limits = {limit for limit in objective.p99_ms if math.isfinite(limit)}
    said = _limit(max(limits), "ms", answer.p99_ms) if len(limits) == 1 else ""
    slowest = " of the slowest network" if len(answer.networks) > 1 else ""
    latency = (f"{short(answer.p99_ms)} ms", f"{answer.latency_quantity}{slowest}{said}")
    blocks = [latency, served] if goal is Goal.LATENCY else [served, latency]
    if goal is Goal.ENERGY:
        score = answer.problem.judge(answer.outcome)[0]
        blocks.insert(0, (f"{short(score)}/J", f"inferences a joule{_together(answer)}"))
    if math.isfinite(answer.power_w):
        said = _limit(objective.power_w, "W", answer.power_w)
        blocks.append((f"{short(answer.power_w)} W", f"power of the board{said}"))
    return [*blocks, *_ratio(answer)]


def _ratio(answer: Answer) -> list[tuple[str, str]]:
    found = answer.confirmation
    if found is None or found.ratio is None:
        return []
    said = against_default(found.ratio.times, answer.problem, answer.latency_quantity)
    times_it, words = said.split(" times ", 1)
    interval = interval_words(found.ratio, answer.problem.objective.goal is Goal.LATENCY)
    return [(f"\N{MULTIPLICATION SIGN} {times_it}", f"{words}; {interval}")]


def _limit(limit: float, unit: str, value: float) -> str:
    """Return a limit behind a comma; nothing where there is none."""
    if not math.isfinite(limit):
        return ""
    return f"; limit {short(limit)} {unit}{', broken' if value > limit else ''}"


def _together(answer: Answer) -> str:
    return " of all networks" if len(answer.networks) > 1 else ""


def _device(answer: Answer) -> str:
    return answer.problem.space.device.name.split(" (")[0]


def asked_lines(answer: Answer) -> list[str]:
    """Return what was asked for."""
    space, objective = answer.problem.space, answer.problem.objective
    tenants = [
        f"{each.name} ({'as many requests as it can serve' if each.closed_loop else arrivals})"
        for each in space.workload.tenants
        for arrivals in (f"{each.rate_ips:g} requests/s",)
    ]
    return [
        f"{' and '.join(tenants)} on {_device(answer)}",
        objective.describe(space.workload.names),
    ]


def answered_lines(answer: Answer) -> list[str]:
    """Return what was found, or why there is nothing within the limits."""
    if failed := nothing_measured(answer):
        return [failed]
    lines = [] if answer.limits_kept else [unmet(answer)]
    first, *others = found_lines(answer)
    if not answer.limits_kept:
        first = first.replace("answer:", "the least violating one:", 1)
    return [*lines, first, *in_words(answer.problem.space, answer), *others]


def in_words(space: ConfigurationSpace, answer: Answer) -> list[str]:
    """Return a sentence for each network: how many instances of it run where."""
    parts: dict[str, list[str]] = {}
    for tenant, column, instances, batch in answer.configuration.slots():
        parts.setdefault(space.workload.names[tenant], []).append(
            f"{instances} instance{'s' * (instances > 1)} with a batch size of {batch} on"
            f" {space.device.accelerator_names[column]}"
        )
    return [f"{name}: {', '.join(each)}" for name, each in parts.items()]


def cost_lines(answer: Answer) -> list[str]:
    """Return what the tuning cost: measurements, seconds, joules, and broken limits."""
    outcomes = [outcome for _, outcome in answer.tried]
    confirming = len(outcomes) - answer.searched
    lines = [
        f"{times(len(outcomes))}: {answer.searched} of the search, {confirming} to confirm"
        + _spent(outcomes, answer.origin)
    ]
    measured = [each for each in outcomes if isinstance(each, Measurement)]
    failed = len(outcomes) - len(measured)
    broken = sum(answer.problem.judge(each)[1] > 0 for each in measured)
    said = [f"{broken or 'none'} of them broke a limit"] * bool(measured)
    lines.append(", ".join(said + [f"{failed} failed"] * (failed > 0)))
    return lines + about_search(answer)


def _spent(outcomes: list[Measurement | Failure], origin: str) -> str:
    """Return seconds and joules behind a comma; what nobody recorded is left out."""
    known = [each.cost_s for each in outcomes if math.isfinite(each.cost_s)]
    measured = [each for each in outcomes if isinstance(each, Measurement)]
    changes = [each.apply_s for each in measured if math.isfinite(each.apply_s)]
    joules = [each.energy_j for each in measured if each.energy_j > 0]
    text = f"; {sum(known):,.0f} s" if sum(known) else ""
    if sum(changes) >= 0.5:
        text += f", {sum(changes):,.0f} s of them to change configurations, engine builds included"
    text += f"; {sum(joules):,.0f} J in the windows" if joules else ""
    return text + (f" ({origin})" if text and origin in ("simulated", "replayed") else "")


def sure_lines(answer: Answer) -> list[str]:
    """Return how sure the answer is."""
    if nothing_measured(answer):
        return []
    lines = about_confirmation(answer)
    found = answer.confirmation
    if found is not None and found.own:
        kept = sum(answer.problem.judge(each)[1] <= 0 for each in found.own)
        lines.append(f"{kept} of its {len(found.own)} confirming windows kept every limit")
    if found is not None and found.ratio is not None and found.ratio.low <= 1 <= found.ratio.high:
        lines.append("the interval contains 1: it may be no better than the default")
    return [*lines, *_margins(answer), _plain_search(answer), *disturbed_lines(answer)]


def _margins(answer: Answer) -> list[str]:
    """Return how far each limited quantity is from its limit, in percent of the limit."""
    objective, outcome = answer.problem.objective, answer.problem.judged(answer.outcome)
    if isinstance(outcome, Failure):
        return []
    named: list[tuple[str, float, float, bool]] = []
    rates = objective.min_rate_ips or (0.0,) * len(objective.p99_ms)
    for name, found, p99_ms, rate in zip(
        answer.networks, outcome.tenants, objective.p99_ms, rates, strict=True
    ):
        quantity = f"{answer.latency_quantity} of {name}"
        named.append((quantity, found.p99_ms, p99_ms, False))
        named.append((f"throughput of {name}", found.throughput_ips, rate, True))
    named.append(("power", outcome.power_w, objective.power_w, False))
    said = [
        f"{quantity} is {_against(value / limit)} its {'least' if least else 'limit'}"
        for quantity, value, limit, least in named
        if math.isfinite(limit) and limit > 0 and math.isfinite(value)
    ]
    return ["; ".join(said)] if said else []


def _against(share: float) -> str:
    """Return how far a quantity is from its limit, by the share of it."""
    if share >= MANY_TIMES:
        return f"{short(share)} times"
    return f"{abs(100 * (share - 1)):.1f} % {'above' if share > 1 else 'below'}"


def _plain_search(answer: Answer) -> str:
    """Say whether measuring every configuration would have done as well."""
    problem, outcomes = answer.problem, [outcome for _, outcome in answer.tried]
    if problem.open:
        return (
            f"measuring everything is no choice: {problem.space.combinations:,} settings of all"
            " knobs, before those that are not valid are left out"
        )
    known = [each.cost_s for each in outcomes if math.isfinite(each.cost_s)]
    mean_s = sum(known) / len(known) if known else math.nan
    planned = max(answer.planned, answer.searched)
    said = enumerating(len(problem.candidates), planned, len(problem.candidates) * mean_s)
    if len(problem.candidates) <= planned:
        return said
    return f"{said}; this search made {answer.searched}, and cannot know what it did not measure"
