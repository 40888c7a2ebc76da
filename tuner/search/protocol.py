"""The tuner seam: anything that proposes configurations from earlier outcomes."""

from typing import Protocol, runtime_checkable

from envs.spec import Configuration, Outcome


class Tuner(Protocol):
    """Proposes configurations, one at a time."""

    def ask(self) -> Configuration:
        """Return the next configuration to measure; an old one only when nothing new remains."""

    def tell(self, configuration: Configuration, outcome: Outcome) -> None:
        """Learn the outcome of a configuration."""


@runtime_checkable
class Finishing(Tuner, Protocol):
    """A tuner that says when nothing more is worth measuring."""

    def finished(self) -> str:
        """Return why nothing more is worth measuring, as part of a sentence; empty otherwise."""

    def ask_worthwhile(self) -> Configuration:
        """Return the next configuration to measure; an old one where that may change the answer."""
