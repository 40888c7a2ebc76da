"""The report on the mappings of networks: one HTML file without a script or another file."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envs.files import write_text
from envs.mappings.costs import GroupCosts
from tuner.charts.document import big_numbers, document, origin_line, provenance
from tuner.charts.text import escape, short
from tuner.evaluation.mapping_pieces import Run
from tuner.evaluation.mapping_plot import front_plot, near
from tuner.evaluation.mapping_strips import group_table, legend, strips
from tuner.evaluation.mapping_style import MAPPING_STYLE

#: What every number of the report is.
ORIGIN = "Simulated (model): by the device model; nothing was measured."


@dataclass(frozen=True)
class MappedPage:
    """Hold what the report shows of one network.

    Attributes:
        costs: of its layer groups.
        front: the mappings that are worth it, in ascending time.
        alone: the whole network on each accelerator, also on a DLA that leaves layers to the GPU.
        chosen: position in the front of the mapping that is best within the limits; None for none.
        gains: share by which the best mapping beats the best accelerator, by the weight of time.
        latency_ms, energy_mj: limits on the time of a batch and the energy of an inference.
        others: time [s] of a batch and energy [J] of an inference of the whole front, which may
            have more members than are shown.
    """

    costs: GroupCosts
    front: tuple[Run, ...]
    alone: tuple[Run, ...]
    chosen: int | None
    gains: Dictionary[float, float] = field(default_factory=dict)
    latency_ms: float | None = None
    energy_mj: float | None = None
    others: tuple[tuple[float, float], ...] = ()


def write_mapping_report(
    path: Path,
    pages: Sequence[MappedPage],
    device: str,
    *,
    schedule: str = "",
    facts: Dictionary[str, Any] | None = None,
) -> Path:
    """Write the report in one step.

    Args:
        path: of the HTML file.
        pages: one for each network, at least one.
        device: board and power mode.
        schedule: a section about networks that run together, as HTML; empty for none.
        facts: versions, options and command.

    Raises:
        StorageError: the file cannot be written.
    """
    names = " and ".join(page.costs.network for page in pages)
    title = f"Layers of {names} on {device}"
    body = [
        origin_line(ORIGIN),
        f"<h1>{escape(title)}</h1>",
        schedule,
        *(part for page in pages for part in _network(page, len(pages) > 1)),
        *provenance(facts or {}),
    ]
    return write_text(path, document(title, body, MAPPING_STYLE))


def _network(page: MappedPage, several: bool) -> list[str]:
    costs = page.costs
    batch = "one sample" if costs.batch == 1 else f"a batch of {costs.batch}"
    groups = f"{costs.groups} layer group{'s' * (costs.groups != 1)}"
    parts = [f"<h2>{escape(costs.network)}</h2>"] if several else []
    return [
        *parts,
        _figures(page),
        f'<p class="verdict mapping">{escape(verdict(page))}</p>',
        f'<p class="quiet">{groups}, {batch} at a time, alone on the device.'
        " Time is that of a batch, energy that of an inference. A mapping's name says where each"
        " group runs: dla0_to_7_tensor runs groups 0 to 6 on dla0 and the others on tensor.</p>",
        "<h2>Which mappings does no other one beat?</h2>",
        front_plot(
            page.front,
            near(page.front, page.alone),
            page.chosen,
            page.latency_ms,
            page.energy_mj,
            page.others,
        ),
        f'<p class="quiet">{_about_plot(page)}</p>',
        "<h2>Where does the time go?</h2>",
        legend(costs),
        strips(page.front, page.alone, page.chosen),
        "<h2>What does each layer group cost?</h2>",
        '<p class="quiet">Numbered columns: where each mapping of the front runs the group.'
        " Coloured numbers: what the chosen mapping takes. A dash: the accelerator does not take"
        " the group. Bytes are those of the tensors that cross the beginning of the group, in"
        " FP32.</p>",
        group_table(costs, page.front, page.chosen),
    ]


def _about_plot(page: MappedPage) -> str:
    more = len(page.others) - len(page.front)
    dots = "A small dot is one more member" if more == 1 else f"Small dots are {more} more members"
    small = f" {dots} of the front." if more > 0 else ""
    is_helped = any(not run.pieces for run in page.alone)
    helped = ", where need be with layers that a DLA leaves to the GPU" if is_helped else ""
    shown = near(page.front, page.alone)
    far = [
        f"{run.name} ({short(1e3 * run.time_s)} ms, {short(1e3 * run.inference_j)} mJ)"
        for run in page.alone
        if run not in shown
    ]
    outside = f" Outside of the plot: {escape(', '.join(far))}." if far else ""
    return (
        "Numbers are the mappings below, fastest first; squares are whole networks on one"
        f" accelerator{helped}.{small}{outside} Both axes are logarithmic."
    )


def verdict(page: MappedPage) -> str:
    """Say in a sentence what was chosen, and what it is against the best accelerator alone."""
    limits = [
        *([f"{page.latency_ms:g} ms"] if page.latency_ms is not None else []),
        *([f"{page.energy_mj:g} mJ"] if page.energy_mj is not None else []),
    ]
    within = f" within {' and '.join(limits)}" if limits else ""
    if page.chosen is None:
        return f"No mapping of {page.costs.network} stays{within}."
    best = page.front[page.chosen]
    text = (
        f"{best.mapping.name} takes {short(1e3 * best.time_s)} ms and"
        f" {short(1e3 * best.inference_j)} mJ{within}"
    )
    if not page.alone:
        return f"{text}; no single accelerator runs the whole network."
    fastest = min(page.alone, key=lambda run: run.time_s)
    thriftiest = min(page.alone, key=lambda run: run.energy_j)
    return (
        f"{text}; of single accelerators the fastest, {fastest.name}, takes"
        f" {short(1e3 * fastest.time_s)} ms and the thriftiest, {thriftiest.name},"
        f" {short(1e3 * thriftiest.inference_j)} mJ."
    )


#: How the gain is called, by the weight of time.
BENEFITS = {0.0: "energy benefit", 0.5: "trade-off benefit", 1.0: "latency benefit"}


def _figures(page: MappedPage) -> str:
    """Return the gains in large print."""
    blocks = [
        (
            f"{100 * gain:.1f} %",
            f"{BENEFITS.get(weight, 'benefit')} (weight of time {weight:g}) over the best single"
            " accelerator",
        )
        for weight, gain in sorted(page.gains.items())
    ]
    return big_numbers(blocks, main=[*sorted(page.gains)].index(0.5) if 0.5 in page.gains else None)
