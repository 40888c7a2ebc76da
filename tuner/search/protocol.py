"""The tuner seam: anything that proposes configurations from earlier outcomes."""

from typing import Protocol

from envs.spec import Configuration, Outcome


class Tuner(Protocol):
    """Proposes configurations, one at a time."""

    def ask(self) -> Configuration:
        """Return the next configuration to measure; an old one only when nothing new remains."""

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        """Learn the outcome of a configuration."""
