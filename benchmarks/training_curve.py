"""Copy the learning curve of a run, and draw it as PNG: the gain of an episode against steps.

python -m benchmarks.training_curve runs/reference checkpoints/reference
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from envs.files import write_text
from tuner.agents.learning_curve import FILE, read_curve


def main() -> None:
    """Draw the curve."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("run", type=Path)
    arguments.add_argument("out", type=Path, help="path without its ending")
    given = arguments.parse_args()
    curve = read_curve(given.run / FILE)
    write_text(given.out.with_suffix(".csv"), (given.run / FILE).read_text())
    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    steps, values = curve[:, 0].tolist(), curve[:, 2].tolist()
    axes.plot(steps, values, color="#bbbbbb", linewidth=0.8, label="update by update")
    window = max(1, len(values) // 20)
    smooth = [
        sum(group) / len(group)
        for group in (values[max(0, end - window) : end] for end in range(1, len(values) + 1))
    ]
    axes.plot(steps, smooth, color="#c0392b", linewidth=2, label=f"mean of {window} updates")
    axes.set(
        xlabel="environment steps",
        ylabel="gain of an episode\n(share of the optimum, less prices)",
        title="Training of the reference bundle (simulated)",
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(given.out.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
    main()
