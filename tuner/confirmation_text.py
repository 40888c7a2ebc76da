"""The end of a search and the confirmation of its answer, as text."""

from envs.errors import printable
from envs.spec import Configuration, Failure, Goal
from tuner.answer import Answer
from tuner.confirming import Confirmation
from tuner.goal_text import against_default
from tuner.pairs import Ratio, mean_window


def remarks(answer: Answer) -> list[str]:
    """Return what is said of each window: the default, what it repeats, or that it confirms."""
    seen, found = dict[Configuration, int](), list[str]()
    default = answer.problem.default
    for number, (configuration, _) in enumerate(answer.tried, start=1):
        if number > answer.searched:
            turns = configuration == default and answer.configuration != default
            found.append("default, in turns" if turns else "confirms")
        elif configuration in seen:
            found.append(f"repeats {seen[configuration]}")
        else:
            seen[configuration] = number
            found.append("default" if configuration == default else "")
    return found


def about_search(answer: Answer) -> list[str]:
    """Return why the search ended before its last measurement, and how many it repeated."""
    lines = []
    if answer.ended:
        made, planned = answer.searched, answer.planned
        lines.append(f"  stopped after {made} of {planned} measurements: {answer.ended}")
    if count := answer.repeats:
        of = answer.searched
        lines.append(f"  {count} of the {of} measurements of the search repeated a configuration")
    return lines


def about_confirmation(answer: Answer) -> list[str]:
    """Return which windows confirmed the answer, what they took, and its ratio to the default."""
    if not answer.complete:
        return ["  stopped before it was confirmed: it was the best in the search"]
    if not answer.networks:
        return []
    found, device = answer.confirmation, answer.problem.space.device.name.split(" (")[0]
    if found is None:
        return ["  not confirmed (pairs=0): it was the best in the search"]
    windows, turns = len(found.own), len(found.default)
    line = "  confirmed by" if answer.limits_kept else "  measured again in"
    line += f" {windows} window{'s' * (windows > 1)}"
    line += f", in turns with {turns} of the default" * (turns > 0)
    line += f" ({found.seconds:.0f} s)" * (found.seconds > 0)
    lines = [f"{line}, {answer.origin} on {device}"]
    if failed := [str(e.configuration) for e in answer.confirmations if e is not found]:
        lines.append(f"  {', '.join(failed)} broke a limit or failed when it was to be confirmed")
    return [*lines, *_against_default(found, answer.latency_quantity)]


def _against_default(found: Confirmation, latency: str) -> list[str]:
    """Return the ratio of the answer to the default, from windows in turns."""
    problem, ratio = found.problem, found.ratio
    if found.configuration == problem.default:
        return ["  it is the default configuration"]
    failed = next((each for each in found.default if isinstance(each, Failure)), None)
    if failed is not None:
        return [f"  the default failed beside it: {printable(failed.reason)}"]
    if ratio is None:
        return []
    said = against_default(ratio.times, problem, latency).removesuffix(")")
    broken = problem.judge(mean_window(found.default))[1] > 0
    note = ", which breaks a limit itself" * broken
    said = said.replace("the default", f"the default{note}")
    return [f"  {said}; {interval_words(ratio, problem.objective.goal is Goal.LATENCY)})"]


def interval_words(ratio: Ratio, inverse: bool) -> str:
    """Return the interval in words; that of the inverse where less is better."""
    if ratio.pairs < 2:
        return "one pair has no interval"
    if not ratio.low > 0:
        return f"no interval: all {ratio.pairs} pairs are the same"
    low, high = (1 / ratio.high, 1 / ratio.low) if inverse else (ratio.low, ratio.high)
    return f"95 % interval {low:.2f} to {high:.2f}, {ratio.pairs} pairs"
