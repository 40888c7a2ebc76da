"""The schedule of several networks as lanes, one for each accelerator's hardware, as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from envs.spec import accelerator
from tuner.charts.palette import colour_of
from tuner.charts.text import escape, short
from tuner.placement.schedules_data import Schedule

#: A group narrower than this share of a lane has no number in it.
NUMBERED = 0.03


def schedule_section(
    names: Sequence[str], schedule: Schedule, whole: Schedule | None, said: str
) -> str:
    """Return the section about networks that run together.

    Args:
        names: [N] of the networks.
        schedule: the best one that was found.
        whole: the best one with each network on one accelerator; drawn below on the same scale.
        said: a sentence about both.
    """
    scale_s = max(each.makespan_s for each in (schedule, whole) if each is not None)
    parts = [
        "<h2>How do the networks run together?</h2>",
        f'<p class="verdict mapping">{escape(said[:1].upper() + said[1:])}.</p>',
        _legend(names),
        _lanes(names, schedule, scale_s),
    ]
    if whole is not None:
        parts += ["<h2>With each network on one accelerator</h2>", _lanes(names, whole, scale_s)]
    parts.append(
        '<p class="quiet">One lane for the hardware that accelerators share; numbers are layer'
        " groups, a transition counts with the group behind it. Groups that run at the same time"
        " slow each other by their traffic to the memory. The sections below show each network"
        " alone.</p>"
    )
    return "\n".join(parts)


def _legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<span><i style="background:{colour_of(at)}"></i>{escape(name)}</span>'
        for at, name in enumerate(names)
    )
    return f'<p class="legend">{items}</p>'


def _lanes(names: Sequence[str], schedule: Schedule, scale_s: float) -> str:
    lanes: dict[str, list[str]] = {}
    for run in schedule.runs:
        resource = accelerator(run.accelerator).resource
        share = (run.end_s - run.start_s) / scale_s
        title = (
            f"{names[run.network]}, group {run.group} on {run.accelerator}:"
            f" {1e3 * run.start_s:.3f} to {1e3 * run.end_s:.3f} ms"
        )
        lanes.setdefault(resource, []).append(
            f'<i title="{escape(title)}" style="left:{100 * run.start_s / scale_s:.3f}%;'
            f'width:{100 * share:.3f}%;background:{colour_of(run.network)}">'
            f"{run.group if share >= NUMBERED else ''}</i>"
        )
    shown = "".join(
        f'<div class="lane"><span>{escape(name)}</span><div>{"".join(items)}</div></div>'
        for name, items in sorted(lanes.items(), reverse=True)
    )
    return f'<div class="lanes">{shown}</div><p class="quiet">{_finishes(names, schedule)}</p>'


def _finishes(names: Sequence[str], schedule: Schedule) -> str:
    ends = [
        f"{escape(name)} ({escape(mapping.name)}) is done after {short(1e3 * finish_s)} ms"
        for name, mapping, finish_s in zip(names, schedule.mappings, schedule.finish_s, strict=True)
    ]
    return "; ".join(ends) + "."
