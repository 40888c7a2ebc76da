"""What happens while PPO trains: the bar moves, the curve grows, the agent is saved."""

from collections.abc import Callable
from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback

from tuner.agents.checkpoint import save_checkpoint
from tuner.agents.learning_curve import LearningCurve


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
