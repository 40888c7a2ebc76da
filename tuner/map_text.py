"""Words and tables about the mappings of a network."""

from __future__ import annotations

import math

from envs.mappings.gain import WEIGHTS
from envs.mappings.search import MappingCost
from tuner.charts.text import short
from tuner.evaluation.mapping_pieces import Run, run_of
from tuner.evaluation.mapping_report import MappedPage
from tuner.map_answer import LayerMap
from tuner.map_schedule import Scheduled

#: Most mappings of a front that are shown.
MOST = 8

#: A bound of schedules is told where it is at least this share of what was found.
TELLING = 0.5

HEADINGS = ["", "mapping", "time [ms]", "energy [mJ]", "rate [1/s]", "transitions"]


def setting(found: LayerMap) -> str:
    """Say what was mapped where, and that all of it is simulated."""
    costs = found.costs
    batch = f", batch {costs.batch}" if costs.batch > 1 else ""
    groups = f"{costs.groups} layer group{'s' * (costs.groups != 1)}"
    return f"{costs.network} on {found.request.device}: simulated (model), {groups}{batch}"


def front_table(found: LayerMap) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows: single accelerators, then the members of the front that are shown.

    A DLA "with the GPU" leaves to it what it does not take. The chosen mapping has a star. Time is
    that of a batch, energy that of an inference.
    """
    shown = found.shown(MOST)
    rows = [_row("alone", each, found) for each in found.singles]
    rows += [_row("with the GPU", each, found) for each in found.fallbacks]
    rows += [_row(f"front {at}", each, found) for at, each in enumerate(shown, start=1)]
    return HEADINGS, rows


def _row(kind: str, each: MappingCost, found: LayerMap) -> list[str]:
    batch = found.costs.batch
    is_chosen = each == found.chosen and kind.startswith("front")
    return [
        f"{kind} *" if is_chosen else kind,
        each.mapping.name,
        f"{1e3 * each.time_s:.3f}",
        f"{1e3 * each.energy_j / batch:.2f}",
        f"{batch / each.time_s:,.0f}",
        str(each.transitions),
    ]


def chosen_lines(found: LayerMap) -> list[str]:
    """Return what was chosen, and which mappings are worth being places, as lines."""
    request, lines = found.request, []
    if len(found.front) > MOST:
        lines.append(f"the front has {len(found.front)} mappings; {MOST} of them are shown")
    chosen = found.chosen
    if chosen is None:
        lines.append("chosen: none keeps the limits")
    else:
        alone = "" if chosen.transitions else ": no mapping is better than one accelerator"
        lines.append(f"chosen (*) by weight {request.weight:g}: {chosen.mapping.name}{alone}")
    if found.worth:
        names = " ".join(each.mapping.name for each in found.worth)
        lines.append(f"worth offering to tuner.tune: --mappings {names}")
    return lines


def gain_lines(found: LayerMap) -> list[str]:
    """Return the gain by each weight as lines."""
    lines = ["gain over the best single accelerator, simulated (model):"]
    for gain in found.gains:
        if gain.mapping is None or gain.single is None:
            lines.append(f"  {WEIGHTS[gain.weight]}: no single accelerator runs the whole network")
            continue
        helped = " with the GPU" if gain.single in found.fallbacks else ""
        over = f"{gain.mapping.mapping.name} over {gain.single.mapping.name}{helped}"
        said = f"{100 * gain.share:.1f} %, {over}" if gain.share else "none"
        lines.append(f"  {WEIGHTS[gain.weight]} (weight of time {gain.weight:g}): {said}")
    return lines


def schedule_sentence(found: Scheduled) -> str:
    """Say what a schedule takes, and what it gains over one accelerator for each network."""
    if found.goal == "makespan":
        text = f"all are done after {_ms(found.schedule.makespan_s)}"
        best = None if found.whole is None else _ms(found.whole.makespan_s)
        share = found.schedule.bound / found.schedule.makespan_s
        bound = f"no schedule takes less than {_ms(found.schedule.bound)}"
    else:
        text = f"{found.schedule.batches_s:,.0f} batches/s"
        best = None if found.whole is None else f"{found.whole.batches_s:,.0f} batches/s"
        share = found.schedule.batches_s / found.schedule.bound
        bound = f"no schedule has more than {found.schedule.bound:,.0f} batches/s"
    if best is None:
        against = "no single accelerators run them all"
    else:
        gain = 100 * (found.gain or 0.0)
        against = f"with each on one accelerator {best}, so the gain is {gain:.1f} %"
    if not share >= TELLING:
        bound = "the search was too short to say how far the best schedule can be from this one"
    return f"{text}; {against}; {bound}"


def schedule_lines(found: Scheduled) -> list[str]:
    """Return what a schedule does with each network, as lines."""
    lines = [f"together, simulated (model): {schedule_sentence(found)}"]
    ends = zip(found.names, found.schedule.mappings, found.schedule.finish_s, strict=True)
    return lines + [f"  {name}: {each.name}, done after {_ms(end)}" for name, each, end in ends]


def _ms(seconds: float) -> str:
    return f"{short(1e3 * seconds)} ms"


def _helped(found: LayerMap) -> tuple[Run, ...]:
    """Return the fallbacks, whose pieces are not known."""
    return tuple(
        Run(each.mapping, each.time_s, each.energy_j, found.costs.batch, ())
        for each in found.fallbacks
    )


def page_of(found: LayerMap) -> MappedPage:
    """Return what the report shows of a network."""
    shown = found.shown(MOST)

    def runs(of: tuple[MappingCost, ...]) -> tuple[Run, ...]:
        return tuple(run_of(found.costs, each.mapping) for each in of)

    chosen = found.chosen
    return MappedPage(
        found.costs,
        runs(shown),
        runs(found.singles) + _helped(found),
        None if chosen is None else shown.index(chosen),
        {gain.weight: gain.share for gain in found.gains if not math.isnan(gain.share)},
        found.request.latency_ms,
        found.request.energy_mj,
        tuple((each.time_s, each.energy_j / found.costs.batch) for each in found.front),
    )
