r"""Play episodes and write them for offline algorithms: python -m tuner.episodes.

  python -m tuner.episodes --world resnet50 --dataset orin-tuner/resnet50-v0
  python -m tuner.episodes --world agx_orin_64 --tuner policy --episodes 500 \
      --dataset orin-tuner/agx-policy-v0

The dataset is one of Minari: minari.load_dataset("orin-tuner/resnet50-v0") reads it, and
recover_environment() gives its environment. It stands in ~/.minari/datasets, or in the folder that
MINARI_DATASETS_PATH names. Episodes on a board are simulated, on a recording replayed; the metadata
say which.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Optional

from envs.errors import OptionError
from envs.problems.episode_options import BUDGET
from tuner.console import progress_bar
from tuner.exports.minari_dataset import write_episodes
from tuner.flags import run


@dataclass(frozen=True)
class EpisodesCommand:
    """The options of `python -m tuner.episodes`.

    Attributes:
        dataset: name of the dataset, with a version, as in orin-tuner/resnet50-v0.
        world: a board, whose problems are simulated, or a recording by name or path.
        tuner: that plays: policy, expected_gain (the rule without training) or random.
        episodes: how many.
        bundle: of the policy; by default the one that comes with the project.
        budget: measurements of an episode, that of the default configuration included.
        risk: the price of a broken limit: bold, balanced, careful or a number.
        split: of networks and limits: train, held_out or all.
        seed: of the first episode; the others follow.
    """

    dataset: Optional[str] = None
    world: str = "agx_orin_64"
    tuner: str = "expected_gain"
    episodes: int = 1000
    bundle: Optional[Path] = None
    budget: int = BUDGET
    risk: str = "balanced"
    split: str = "train"
    seed: int = 0


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    return run(EpisodesCommand, write, arguments, __doc__ or "")


def write(options: EpisodesCommand) -> None:
    """Write the dataset, and print how to read it."""
    if options.dataset is None:
        raise OptionError("dataset is missing: name it, as in --dataset orin-tuner/resnet50-v0")
    given = {each.name: getattr(options, each.name) for each in fields(options)}
    with progress_bar("playing episodes", options.episodes) as advance:
        written = write_episodes(**given, advance=advance)
    told = written.storage.metadata
    print(
        f"wrote {written.total_episodes} episodes, {written.total_steps} steps"
        f" ({told['origin']}), into {written.storage.data_path}\n"
        f'minari.load_dataset("{options.dataset}") reads them'
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
