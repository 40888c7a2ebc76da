"""Draw how a training went, as CSV and PNG, from the TensorBoard events of its run.

The curve is the gain of an episode against environment steps.

python -m benchmarks.training_curve runs/reference checkpoints/reference
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main() -> None:
    """Draw the curve."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("run", type=Path)
    arguments.add_argument("out", type=Path, help="path without its ending")
    given = arguments.parse_args()
    folder = max((given.run / "tensorboard").iterdir())
    events = EventAccumulator(str(folder))
    events.Reload()
    gains = events.Scalars("rollout/ep_rew_mean")
    rows = [(each.step, each.wall_time - gains[0].wall_time, each.value) for each in gains]
    given.out.with_suffix(".csv").write_text(
        "steps,seconds,gain_per_episode\n" + "".join(f"{s},{t:.1f},{g:.4f}\n" for s, t, g in rows)
    )
    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    steps, values = [row[0] for row in rows], [row[2] for row in rows]
    axes.plot(
        steps, values, color="#bbbbbb", linewidth=0.8, label="update by update (200 episodes)"
    )
    window = max(1, len(values) // 20)
    smooth = [
        sum(values[max(0, i - window) : i + 1]) / len(values[max(0, i - window) : i + 1])
        for i in range(len(values))
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
