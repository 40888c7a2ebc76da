"""Figures and tables of the comparison with searches, and the bars that the policy is held to."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import Figure, figure
from envs.spec import Goal
from tuner.console import table
from tuner.evaluation.bootstrap import difference
from tuner.evaluation.comparison import Comparison
from tuner.evaluation.front import RULE
from tuner.evaluation.statistics import Summary, shares_at, summarize

#: Bars of the policy by goal and number of measurements: mean and 5th percentile of the share of
#: the oracle, share with a feasible answer, and share of measurements that broke a limit.
BARS: dict[Goal, dict[int, tuple[str, str, str, str]]] = {
    Goal.THROUGHPUT: {3: (">= 95", ">= 80", ">= 99", ""), 8: (">= 98", ">= 90", ">= 99.5", "<= 5")},
    Goal.ENERGY: {3: (">= 95", "", "", ""), 8: (">= 98", "", "", "<= 5")},
    Goal.LATENCY: {},
}


def figures_of(
    comparison: Comparison, budgets: Sequence[int], goal: Goal = Goal.THROUGHPUT
) -> tuple[list[Summary], list[Figure]]:
    """Return summaries and five figures for each tuner and budget; the policy has bars."""
    summaries, figures = [], []
    for tuner in comparison.tuners:
        for budget in budgets:
            if budget > len(comparison.runs(tuner)[0][0]):
                continue
            each = summarize(comparison, tuner, budget)
            summaries.append(each)
            bars = BARS[goal] if tuner == "policy" else {}
            goals = bars.get(budget, ("",) * 4)
            shares = {
                "share of the oracle, mean": each.share_mean,
                "share of the oracle, 5th percentile": each.share_p5,
                "feasible where possible": each.feasible_share,
                "measurements beyond a limit": each.broken_share,
                "answers over 5 % beyond a limit without noise": each.overrun_share,
            }
            where = f"{each.cases} problems x {len(comparison.seeds)} seeds"
            for (name, share), bar in zip(shares.items(), (*goals, ""), strict=True):
                figures.append(
                    figure(f"{tuner} after {budget}: {name} ({where})", 100 * share, "%", bar)
                )
    return summaries, figures


def over_rule(comparison: Comparison) -> list[Figure]:
    """Return what the policy adds over the rule at equal risk, which must not be a loss."""
    figures = []
    for budget in (3, 8):
        gap = difference(
            shares_at(comparison, "policy", budget), shares_at(comparison, RULE, budget)
        )
        name = f"policy minus rule after {budget}, at equal risk"
        figures += [
            figure(name, 100 * gap.mean, "points"),
            figure(f"{name}, lower end of 95 %", 100 * gap.low, "points"),
            figure(f"{name}, upper end of 95 %", 100 * gap.high, "points", ">= 0"),
        ]
    return figures


def print_table(summaries: Sequence[Summary], comparison: Comparison) -> None:
    """Print the tuners, the best first within each budget."""
    print(
        f"\nsimulated: {summaries[0].cases} problems x {len(comparison.seeds)} seeds; "
        f"{summaries[0].impossible_cases} more have no answer"
    )
    head = [
        "tuner",
        "measurements",
        "mean [%]",
        "5th [%]",
        "feasible [%]",
        "5 % beyond [%]",
        "broke a limit [%]",
        "decision [ms]",
    ]
    rows = []
    for each in sorted(summaries, key=lambda each: (each.budget, -each.share_mean)):
        shares = (
            each.share_mean,
            each.share_p5,
            each.feasible_share,
            each.overrun_share,
            each.broken_share,
        )
        rows.append(
            [
                each.tuner,
                str(each.budget),
                *(f"{100 * share:.1f}" for share in shares),
                f"{1000 * each.decision_s:.2f}",
            ]
        )
    table(head, rows)
