"""PPO of stable-baselines3 on a world: made, resumed, watched and saved."""

import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.vec_env import VecEnv

from envs.belief.risk import parse_risk
from envs.errors import OptionError, StorageError, TraceError, one_line, require_positive
from envs.files import parse_json, replacing
from envs.problems.episode_options import BUDGET
from envs.problems.world import World
from envs.tuning_env import TuningVectorEnv
from tuner.agents.collecting import CollectingPPO, Collector
from tuner.agents.export import start_from
from tuner.agents.learning_curve import LearningCurve
from tuner.agents.policy_net import CandidatePolicy
from tuner.agents.vec_env import SB3TuningVecEnv
from tuner.folders import reference_bundle
from tuner.policy.bundle import Bundle, load_bundle

#: Policies to start from by name, beside paths of bundles.
REFERENCE, SCRATCH = "reference", "scratch"

#: Stands for a price of broken limits that is drawn for each episode.
ANY_RISK = "any"


@dataclass
class AgentOptions:
    """PPO and its environment.

    Attributes:
        steps: environment steps of the whole training. envs: episodes side by side.
        budget: measurements of an episode, the default configuration's included.
        episodes_per_update: of each environment, between two updates.
        risk: the price of a measurement that breaks a limit, a word or a number, see
            `envs.belief.risk`; `any` draws one for each episode, so that the policy learns all.
        builds: share of episodes in which no engine is built when they start.
        timed: draw how many seconds each episode has, so that the policy learns what time is worth.
        changes: share of episodes in which conditions change on the way.
        gamma: discount of a measurement; the prices of time and of broken limits say what matters.
        threads: of torch.
        start: a policy bundle to start from, `reference` for the one that comes with the project;
            its width replaces `hidden`. None starts from scratch; `scratch` does so on a twin too,
            where everything else is by default as in `on_twin`.
    """

    steps: int = 300_000
    envs: int = 512
    budget: int = BUDGET
    episodes_per_update: int = 4
    batch_size: int = 3584
    epochs: int = 4
    learning_rate: float = 1e-3
    entropy: float = 0.0
    gamma: float = 0.95
    gae_lambda: float = 0.95
    hidden: int = 32
    risk: str = ANY_RISK
    timed: bool = True
    builds: float = 0.0
    changes: float = 0.0
    threads: int = 1
    start: Optional[str] = None

    def __post_init__(self) -> None:
        require_positive(
            "agent",
            self,
            "steps",
            "envs",
            "episodes_per_update",
            "epochs",
            "learning_rate",
            "hidden",
            "threads",
        )
        if self.batch_size < 2:
            raise OptionError(f"agent.batch_size={self.batch_size} must be at least 2")
        if self.budget < 2:  # said before problems are drawn, which takes minutes
            raise OptionError(
                f"agent.budget={self.budget} must be at least 2: the first measurement is that of"
                " the default configuration"
            )
        if self.risk != ANY_RISK:
            parse_risk(self.risk, "agent.risk")
        for key in ("changes", "builds", "gamma", "gae_lambda"):
            if not 0.0 <= getattr(self, key) <= 1.0:
                raise OptionError(f"agent.{key}={getattr(self, key)} must lie in 0..1")


#: Options of a training on a twin. What the recording told is in the belief already, and a policy
#: that knows the model gains nothing from more steps or larger ones.
TWIN: dict[str, Any] = {"start": REFERENCE, "steps": 100_000, "learning_rate": 1e-4}


def on_twin(options: AgentOptions) -> AgentOptions:
    """Return the options for a twin: those of `TWIN` replace what was left at its default."""
    if options.start == SCRATCH:
        return options
    default = AgentOptions()
    left = {
        key: value for key, value in TWIN.items() if getattr(options, key) == getattr(default, key)
    }
    return replace(options, **left)


def make_env(
    world: World, options: AgentOptions, seed: int, rows: int | None = None
) -> SB3TuningVecEnv:
    """Make the training environment; all its rows draw from one generator.

    Args:
        world: whose problems are tuned.
        options: of the agent.
        seed: of the draws.
        rows: episodes side by side; None for those of the options.
    """
    env = TuningVectorEnv(
        rows or options.envs,
        world,
        options.budget,
        changes=options.changes,
        risk=None if options.risk == ANY_RISK else options.risk,
        budget_s=None if options.timed else math.inf,
        builds=options.builds,
        shared_noise=True,
    )
    return SB3TuningVecEnv(env, seed)


def make_model(
    env: VecEnv,
    options: AgentOptions,
    seed: int,
    tensorboard: Path | None,
    collector: Collector | None = None,
) -> PPO:
    """Make a fresh agent, whose learning rate falls to zero over the training.

    Args:
        env: has the spaces and the rows, and makes the rollouts unless a collector does.
        options: of the agent.
        seed: of weights, actions and batches.
        tensorboard: folder of its logs.
        collector: makes the rollouts elsewhere.
    """
    torch.set_num_threads(options.threads)
    bundle = starting_bundle(options)
    model = (CollectingPPO if collector else PPO)(
        CandidatePolicy,
        env,
        learning_rate=LinearSchedule(options.learning_rate),
        n_steps=(options.budget - 1) * options.episodes_per_update,
        batch_size=options.batch_size,
        n_epochs=options.epochs,
        gamma=options.gamma,
        gae_lambda=options.gae_lambda,
        ent_coef=options.entropy,
        policy_kwargs={"hidden": width_of(options, bundle)},
        seed=seed,
        tensorboard_log=None if tensorboard is None else str(tensorboard),
        device="cpu",
    )
    if bundle:
        start_from(model, bundle)
    if isinstance(model, CollectingPPO) and collector:
        model.collector = collector
    return model


def starting_bundle(options: AgentOptions) -> Bundle | None:
    """Return the policy to start from; None for none."""
    if options.start is None or options.start == SCRATCH:
        return None
    named = options.start == REFERENCE
    return load_bundle(reference_bundle() if named else Path(options.start))


def width_of(options: AgentOptions, bundle: Bundle | None) -> int:
    """Return the width of the policy: that of the one to start from, or the option."""
    return bundle.weights["first.bias"].size if bundle else options.hidden


class LinearSchedule:
    """A learning rate that falls from `start` to zero."""

    def __init__(self, start: float) -> None:
        self.start = start

    def __call__(self, remaining: float) -> float:
        return self.start * remaining


#: A checkpoint has some hundred KB.
MAX_CHECKPOINT_BYTES = 1 << 28


def resume_model(
    checkpoint: Path,
    env: SB3TuningVecEnv,
    options: AgentOptions,
    seed: int = 0,
    tensorboard: Path | None = None,
    collector: Collector | None = None,
) -> PPO:
    """Go on from the weights, the optimiser and the count of steps of a checkpoint.

    Everything else comes from the options. `PPO.load` would unpickle the rest of the file, which
    runs whatever its writer wanted; of the weights torch takes tensors alone.

    Raises:
        TraceError: it is damaged, or of another agent.
    """
    model = make_model(env, options, seed, tensorboard, collector)
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_CHECKPOINT_BYTES:
                raise ValueError(f"it claims more than {MAX_CHECKPOINT_BYTES:,} bytes")
            told = parse_json(archive.read("data"))
        steps, updates = told["num_timesteps"], told["_n_updates"]
        if not all(type(count) is int and 0 <= count < 2**53 for count in (steps, updates)):
            raise ValueError("its counts are no whole numbers")
        _, parameters, _ = load_from_zip_file(checkpoint, load_data=False, device="cpu")
        model.set_parameters(parameters, exact_match=True, device="cpu")
        if not all(torch.isfinite(weights).all() for weights in model.policy.parameters()):
            raise ValueError("its weights are not finite")
    except (
        Exception
    ) as error:  # what a damaged file ends in, by where the damage is, has no common base
        raise TraceError(
            f"{checkpoint} cannot be resumed here ({one_line(error)}): it is damaged or of another"
            " training; choose another run_dir"
        ) from error
    model.num_timesteps, model._n_updates = steps, updates
    return model


class Watch(BaseCallback):
    """Moves the progress bar, adds to the learning curve, and saves a checkpoint now and then.

    Args:
        advance: of the progress bar.
        curve: gets a row for each update.
        checkpoint: where the agent is saved.
        every: updates between two checkpoints.
    """

    def __init__(
        self,
        advance: Callable[..., None],
        curve: LearningCurve,
        checkpoint: Path,
        every: int = 50,
    ) -> None:
        super().__init__()
        self._advance = advance
        self._curve = curve
        self._finished: list[dict[str, float]] = []
        self._checkpoint = checkpoint
        self._every = every
        self._shown = 0
        self._rollouts = 0

    def _on_training_start(self) -> None:
        self._shown = self.num_timesteps

    def _on_step(self) -> bool:
        self._finished += [each["episode"] for each in self.locals["infos"] if "episode" in each]
        return True

    def _on_rollout_end(self) -> None:
        gains = [episode["r"] for episode in self._finished]
        text = f"gain per episode {sum(gains) / len(gains):.2f}" if gains else ""
        self._advance(text, self.num_timesteps - self._shown)
        self._curve.add(self.num_timesteps, gains, [each["broke"] for each in self._finished])
        self._finished = []
        self._shown = self.num_timesteps
        self._rollouts += 1
        if self._rollouts % self._every == 0:
            save_checkpoint(self.model, self._checkpoint)


def save_checkpoint(model: Any, path: Path) -> None:
    """Save in one step, so that an interruption leaves the previous checkpoint.

    Raises:
        StorageError: the disk is full.
    """
    remedy = "free some space and run the same command again to go on"
    try:
        with replacing(path, remedy) as file:
            model.save(file)
    except RuntimeError as error:  # torch reports a full disk so
        raise StorageError(f"cannot write {path}: the disk is full; {remedy}") from error
