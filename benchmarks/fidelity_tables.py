"""Tables and the plot of `benchmarks.fidelity`: published numbers against the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.published_rows import Row
from benchmarks.regimes import Influence
from envs.arrays import FloatArray
from envs.optional import optional_import
from tuner.console import table


def median_error(found: FloatArray) -> float:
    """Return the median error of model over published; NaN without rows."""
    return float(np.median(np.abs(found - 1))) if len(found) else float("nan")


def worst_error(found: FloatArray) -> float:
    """Return the largest error of model over published; NaN without rows."""
    return float(np.max(np.abs(found - 1))) if len(found) else float("nan")


def errors_table(
    title: str, rows: list[Row], inside: FloatArray, outside: FloatArray, key: Callable[[Row], str]
) -> None:
    """Print the median and the largest error by a key of the rows."""
    print(title)
    lines = []
    for name in dict.fromkeys(key(row) for row in rows):
        member = np.array([key(row) == name for row in rows])
        calm = member & np.array([row.steady for row in rows])
        signed = np.log(inside[member])
        lines.append(
            [
                name,
                str(member.sum()),
                *(
                    f"{value:.0%}"
                    for value in (median_error(inside[member]), worst_error(inside[member]))
                ),
                f"{np.median(signed):+.0%}",
            ]
            + [
                f"{value:.0%}"
                for value in (
                    median_error(inside[calm]),
                    worst_error(inside[calm]),
                    median_error(outside[member]),
                    worst_error(outside[member]),
                )
            ]
        )
    table(
        [
            "",
            "rows",
            "median",
            "worst",
            "bias",
            "median, clocks known",
            "worst, clocks known",
            "left-out median",
            "left-out worst",
        ],
        lines,
    )


def rows_table(rows: list[Row], inside: FloatArray, outside: FloatArray) -> None:
    """Print published against model for every row."""
    lines = [
        [
            *(
                row.source,
                row.board,
                row.network,
                row.note or row.mode,
                row.run,
                f"{row.gpu_batch}/{row.dla_batch}",
                row.quantity,
            ),
            *(
                f"{row.value:.4g}",
                f"{row.value * mine:.4g}",
                f"{mine - 1:+.0%}",
                f"{other - 1:+.0%}",
                "" if row.steady else "clocks unknown",
            ),
        ]
        for row, mine, other in zip(rows, inside, outside, strict=True)
    ]
    table(
        [
            "source",
            "board",
            "network",
            "mode",
            "run",
            "batch",
            "quantity",
            "published",
            "model",
            "in",
            "out",
            "",
        ],
        lines,
    )


def influence_table(found: list[Influence]) -> None:
    """Print what the assumptions that no public number checks can do."""
    print(
        "Assumptions: what the best configuration of the nominal value loses if the truth is at "
        "either end of the range"
    )
    lines = [
        [
            each.name,
            f"{each.low:.3g} .. {each.high:.3g}",
            f"{each.changed:.0%}",
            f"{each.broken:.0%}",
            f"{each.regret:.1%}",
            f"{each.worst:.1%}",
        ]
        for each in found
    ]
    table(
        ["assumption", "range", "other best", "breaks a limit", "mean loss", "largest loss"], lines
    )


def plot(rows: list[Row], inside: FloatArray, path: Path) -> None:
    """Plot published against model, by quantity."""
    pyplot = optional_import("matplotlib.pyplot", "train")
    drawn, panels = pyplot.subplots(1, 3, figsize=(15, 5))
    for panel, quantity in zip(panels, ("throughput_ips", "latency_ms", "wall_w"), strict=True):
        for name in dict.fromkeys(row.network for row in rows if row.quantity == quantity):
            points = [
                (row.value, row.value * mine)
                for row, mine in zip(rows, inside, strict=True)
                if row.quantity == quantity and row.network == name
            ]
            panel.loglog(
                *zip(*points, strict=True),
                ".",
                label=name if not name.replace(".", "").isdigit() else "language model",
            )
        ends = np.array(
            [
                min(row.value for row in rows if row.quantity == quantity),
                max(row.value for row in rows if row.quantity == quantity),
            ]
        )
        for factor, style in ((1.0, "-"), (0.8, ":"), (1.25, ":")):
            panel.loglog(ends, ends * factor, "k" + style, linewidth=0.7)
        panel.set(xlabel=f"published {quantity}", ylabel=f"model {quantity}")
        panel.legend(fontsize=7)
    drawn.tight_layout()
    drawn.savefig(path, dpi=110)
