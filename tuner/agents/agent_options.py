"""Options of an agent and of its environment."""

from dataclasses import dataclass, replace
from typing import Any, Optional

from envs.belief.risk import parse_risk
from envs.errors import OptionError, require_positive
from envs.problems.episode_options import BUDGET

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
