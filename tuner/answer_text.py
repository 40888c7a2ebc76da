"""An answer of tuning as text: its table, the reasons of failed windows, and sentences."""

import math
from collections.abc import Iterable

from envs.errors import printable
from envs.problems.problem import Problem
from envs.spec import (
    UNCALIBRATED,
    Configuration,
    Failure,
    Measurement,
    Outcome,
    TenantMeasurement,
)
from tuner.answer import FEW_REQUESTS, Answer, few_requests
from tuner.confirmation_text import about_confirmation, about_search, remarks
from tuner.goal_text import (
    rates_out_of_reach,
    score_cell,
    score_column,
    score_lines,
)
from tuner.sharing_text import sharing_lines

#: What can be done about a 99th percentile over few requests.
LONGER = "take a longer --window-s"

Tried = Iterable[tuple[Configuration, Outcome]]


def answer_table(answer: Answer) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows: one for each network of each window.

    What belongs to the whole window stands in the row of its first network. There is a column of
    agreement if any was measured, and one of networks if there are several.
    """
    problem, space = answer.problem, answer.problem.space
    several = len(space.workload.names) > 1
    measured = [each for _, each in answer.tried if isinstance(each, Measurement)]
    agreed = any(has_agreement(tenant) for each in measured for tenant in each.tenants)
    head = [
        "#",
        *["network"] * several,
        "configuration (instances x batch)",
        "throughput [inferences/s]",
        f"{answer.latency_quantity} [ms]",
        *["agreement"] * agreed,
        "power [W]",
        *score_column(problem),
        "limits",
        "",
    ]
    rows, last = [], remarks(answer)
    for number, (configuration, outcome) in enumerate(answer.tried, start=1):
        whole = [str(number), *_whole(problem, outcome), last[number - 1]]
        placed = space.describe_each(configuration)
        for name, place, found in zip(
            space.workload.names, placed, _by_tenant(problem, outcome, agreed), strict=True
        ):
            rows.append([whole[0], *[name] * several, place, *found, *whole[1:]])
            whole = [""] * len(whole)
    return head, rows


def _whole(problem: Problem, outcome: Outcome) -> list[str]:
    """Return the power, the score if it is of energy, and `kept`, `broken` or `failed`."""
    score = score_cell(problem, outcome)
    if isinstance(outcome, Failure):
        return ["-", *score, "failed"]
    power = f"{outcome.power_w:.1f}" if outcome.power_w > 0 else "-"
    return [power, *score, "kept" if problem.judge(outcome)[1] <= 0 else "broken"]


def _by_tenant(problem: Problem, outcome: Outcome, agreed: bool) -> list[list[str]]:
    """Return throughput, p99 (a star marks few requests) and agreement of each network."""
    if isinstance(outcome, Failure):
        return [["-"] * (3 if agreed else 2) for _ in problem.space.workload.names]
    return [
        [
            f"{each.throughput_ips:.1f}",
            f"{each.p99_ms:.1f}{'*' * few_requests(outcome, each)}",
            *[f"{each.agreement:.3f}" if has_agreement(each) else "-"] * agreed,
        ]
        for each in outcome.tenants
    ]


def has_agreement(tenant: TenantMeasurement) -> bool:
    """Return True if the agreement with FP32 was measured; FP32 itself needs no sample."""
    return tenant.agreement_samples > 0


def notes(answer: Answer) -> list[str]:
    """Return the lines below the table: what a star means, and why windows failed."""
    starred = any(
        few_requests(outcome, tenant)
        for _, outcome in answer.tried
        if isinstance(outcome, Measurement)
        for tenant in outcome.tenants
    )
    star = f"* over fewer than {FEW_REQUESTS} requests, hardly more than the slowest: {LONGER}"
    return [star] * starred + failures(answer.tried)


def failures(tried: Tried, most: int | None = None) -> list[str]:
    """Return a line for each reason of failures: how many, of which configurations, and why.

    Args:
        tried: configurations and their outcomes.
        most: name at most so many configurations in a line; None for all.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for configuration, outcome in tried:
        if isinstance(outcome, Failure):
            key = (outcome.kind.value, printable(outcome.reason))
            found.setdefault(key, []).append(str(configuration))
    lines = []
    for (kind, reason), configurations in found.items():
        once, count = list(dict.fromkeys(configurations)), len(configurations)
        named = ", ".join(once[:most])
        if most is not None and len(once) > most:
            named += f" and {len(once) - most} more"
        lines.append(f"{count} window{'s' * (count > 1)} of {named} failed ({kind}): {reason}")
    return lines


def answer_lines(answer: Answer) -> list[str]:
    """Return the answer in words."""
    return [
        *found_lines(answer),
        *about_search(answer),
        *about_confirmation(answer),
        *disturbed_lines(answer),
    ]


def found_lines(answer: Answer) -> list[str]:
    """Return the configuration and what it gives, without how that was found."""
    space = answer.problem.space
    called = "answer" if answer.complete else "best so far"
    lines = [f"{called}: {space.describe(answer.configuration)} ({answer.origin})"]
    for name, each in answer.networks.items():
        known = math.isfinite(each.p99_ms)
        quantity = answer.latency_quantity
        latency = f"{quantity} {each.p99_ms:.1f} ms" if known else f"no {quantity}"
        if few_requests(answer.outcome, each):
            latency += f" (over {each.requests:.0f} requests only: {LONGER})"
        line = f"  {name}: {each.throughput_ips:.1f} inferences/s, {latency}"
        if has_agreement(each):
            line += f", agreement {each.agreement:.3f} with FP32"
            line += f" on {each.agreement_samples:.0f} sample{'s' * (each.agreement_samples != 1)}"
        lines.append(line)
    lines += score_lines(answer.problem, answer.outcome)
    lines += sharing_lines(answer.problem, answer.outcome)
    return lines + _about_answers(answer)


def disturbed_lines(answer: Answer) -> list[str]:
    """Return a caution where something else used the computer; nothing where nothing did."""
    windows = [outcome for _, outcome in answer.tried]
    disturbed = sum(isinstance(each, Measurement) and each.disturbed for each in windows)
    if not disturbed:
        return []
    return [f"  caution: something else used the computer in {disturbed} of {len(windows)} windows"]


def _about_answers(answer: Answer) -> list[str]:
    """Return how far each accelerator that serves agrees with FP32, and which nobody judged."""
    space, agreements = answer.problem.space, answer.problem.agreements
    names, accelerators = space.workload.names, space.device.accelerator_names
    lines = []
    for tenant, column, _, _ in answer.configuration.slots():
        found = agreements.get((tenant, column))
        if found is not None and found.samples:
            lines.append(f"  {names[tenant]} on {accelerators[column]}: {found.describe()}")
    used = space.uncalibrated(answer.configuration)
    if used:
        lines.append(f"  caution: {UNCALIBRATED}: {', '.join(used)}")
    return lines


def nothing_measured(answer: Answer) -> str:
    """Return why nothing could be measured; empty if at least one window was."""
    if any(isinstance(outcome, Measurement) for _, outcome in answer.tried):
        return ""
    reasons = "; ".join(failures(answer.tried, most=2))
    return f"nothing could be measured, every window failed: {reasons}"


def infeasible(answer: Answer) -> str:
    """Explain an infeasible answer below the text that holds the one that came closest."""
    said = unmet(answer)
    nothing = said.startswith(NOTHING_MET)
    return f"{said}; the least violating one is given above" if nothing else said


#: How the reason begins where no window of any configuration met the limits.
NOTHING_MET = "no configuration that was measured meets the limits"


def unmet(answer: Answer) -> str:
    """Return why there is no answer: nothing met the limits, or the best failed later."""
    problem = answer.problem
    limits = problem.objective.describe(problem.space.workload.names)
    once = [
        configuration
        for configuration, outcome in answer.tried[: answer.searched]
        if problem.judge(outcome)[1] <= 0
    ]
    if once:
        kept = "; ".join(dict.fromkeys(map(str, once)))
        again = [each.outcome for each in answer.confirmations]
        if not again:
            return f"no configuration kept the limits ({limits}) in all of its windows"
        failed = all(isinstance(each, Failure) for each in again)
        how = "could be measured again" if failed else "kept the limits when it was measured again"
        return f"no configuration {how} ({limits}); in one window alone these kept them: {kept}"
    reason = rates_out_of_reach(problem, [outcome for _, outcome in answer.tried])
    return f"{NOTHING_MET} ({limits})" + (f"; {reason}" if reason else "")
