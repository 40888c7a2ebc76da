"""Seeds of a recipe learn from the same problems, and learn different things."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.training_seeds import trained
from tuner.agents.agent_options import AgentOptions
from tuner.cli import composed
from tuner.policy.bundle import load_bundle
from tuner.train import TrainCommand


def test_seeds_of_a_recipe_share_their_problems(tmp_path: Path) -> None:
    recipe = composed("train", TrainCommand, "experiment=reference")
    assert recipe.problems == 800
    assert recipe.draw.misfits == ["train"]
    agent = AgentOptions(steps=900, envs=64, batch_size=448, hidden=8)
    small = replace(recipe, problems=2, jobs=1, agent=agent)
    bundles = trained(small, 2, tmp_path, share=True)
    assert list(bundles) == ["policy_0", "policy_1"]
    first, second = (tmp_path / seed / "problems.npz" for seed in "01")
    assert first.read_bytes() == second.read_bytes()
    weights = [load_bundle(path).weights["first.weight"] for path in bundles.values()]
    assert (weights[0] != weights[1]).any()
