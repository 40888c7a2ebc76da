"""Write episodes of tuning as a Minari dataset, for offline algorithms of other libraries."""

import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from envs.belief.features import FEATURES
from envs.belief.risk import parse_risk
from envs.errors import OptionError, StorageError
from envs.optional import optional_import
from envs.problems.episode_options import BUDGET
from tuner.folders import reference_bundle
from tuner.policy.bundle import load_bundle
from tuner.versions import versions

EXTRA = "minari"

#: The name of a dataset, as Minari reads it: groups, a name and a version.
NAME = re.compile(r"([-\w]{2,}/)*[-\w]+-v\d+", re.ASCII)


def write_episodes(
    dataset: str,
    world: str,
    tuner: str = "expected_gain",
    episodes: int = 1000,
    *,
    bundle: Path | None = None,
    budget: int = BUDGET,
    risk: str = "balanced",
    split: str = "train",
    seed: int = 0,
    advance: Callable[[], object] = lambda: None,
) -> Any:
    """Play episodes of `envs:Tuning-v0` and write them into Minari's folder of datasets.

    Every step carries its mask of actions in the infos (`action_mask`), every episode its seed:
    `dataset.recover_environment().reset(seed=seed)` starts the same one. The metadata tell the
    origin of the numbers (simulated or replayed), the tuner, and names for the features.

    Args:
        dataset: its name, such as `orin-tuner/resnet50-v0`.
        world: a board of the catalogue (simulated), or a trace by name or path (replayed).
        tuner: `policy`, `expected_gain` (the rule without training) or `random`.
        episodes: how many.
        bundle: of `policy`; by default the one that comes with the project.
        budget: measurements of an episode, that of the default configuration included.
        risk: the price of a broken limit that the tuner is told, see `envs.belief.risk`.
        split: which networks and limits are drawn: `train`, `held_out` or `all`.
        seed: of the first episode; the others follow.
        advance: called after each episode.

    Returns:
        The `minari.MinariDataset`.

    Raises:
        OptionError: an option is wrong, or there is a dataset of this name.
        DependencyError: Minari is not installed.
        StorageError: the disk is full.
    """
    optional_import("minari", EXTRA)
    gymnasium = optional_import("gymnasium", EXTRA)  # comes with Minari
    from tuner.exports.episodes import decider, play  # imports Gymnasium

    path = _free_path(dataset)
    parse_risk(risk)
    for key, value, least in (("episodes", episodes, 1), ("seed", seed, 0), ("budget", budget, 2)):
        if value < least:  # said before problems are drawn, which takes minutes
            raise OptionError(f"{key}={value} must be at least {least}")
    policy = load_bundle(bundle or reference_bundle()) if tuner == "policy" else None
    if bundle and policy is None:
        raise OptionError(f"bundle has no meaning for tuner={tuner}: leave it out")
    decide = decider(tuner, policy, seed)
    env = gymnasium.make("envs:Tuning-v0", world=world, budget=budget, risk=risk, split=split)
    played, buffers = env.unwrapped.episodes.world, []
    for episode in play(played, decide, range(seed, seed + episodes), budget, risk):
        buffers.append(_buffer(episode))
        advance()
    told = {
        "origin": played.origin.value,
        "world": world,
        "split": split,
        "budget": budget,
        "risk": risk,
        "first_seed": seed,
        "features": list(FEATURES),
        "versions": versions(),
        "algorithm_name": tuner,
        "description": f"Episodes of tuning on {world} ({played.origin.value}). Each action chooses"
        f" the next configuration to measure, of {env.action_space.n} proposals.",
    }
    if policy is not None:
        told["policy"] = policy.provenance
    return _written(path, dataset, buffers, env, told)


def _free_path(dataset: str) -> Path:
    """Return the folder of a dataset that does not exist yet."""
    if not NAME.fullmatch(dataset):
        raise OptionError(
            f"dataset={dataset!r:.80} must be a name with a version, as in orin-tuner/resnet50-v0"
        )
    path = Path(optional_import("minari.storage", EXTRA).get_dataset_path(dataset))
    if path.exists():
        raise OptionError(f"dataset={dataset} is there already ({path}): choose another version")
    return path


def _buffer(episode: Any) -> Any:
    """Return an episode in the shape that Minari stores."""
    steps = len(episode.rewards)
    return optional_import("minari.data_collector", EXTRA).EpisodeBuffer(
        seed=episode.seed,
        observations=episode.observations,
        actions=episode.actions,
        rewards=list(episode.rewards),
        terminations=[step == steps - 1 for step in range(steps)],
        truncations=[False] * steps,
        infos=episode.infos,
    )


def _written(path: Path, dataset: str, buffers: list[Any], env: Any, told: dict[str, Any]) -> Any:
    """Write the dataset; nothing is left of it where that fails or is interrupted."""
    minari = optional_import("minari", EXTRA)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about an author, an address and a link
            written = minari.create_dataset_from_buffers(dataset, buffers, env=env)
        written.storage.update_metadata(told)
    except BaseException as error:
        shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise StorageError(f"cannot write {path}: {reason}; free some space") from error
        raise
    return written
