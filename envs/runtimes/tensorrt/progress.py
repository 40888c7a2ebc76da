"""The progress of a build, as a line of text."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BuildProgress:
    """The progress of one build.

    Attributes:
        what: the engine, such as `resnet50 on dla0, int8, batch 4`.
        phase: the builder's name of the current phase; empty if it has none.
        phase_done: finished steps of that phase.
        phase_total: steps of that phase.
        done: engines before it.
        total: engines to build; 0 if nobody knows.
    """

    what: str
    phase: str = ""
    phase_done: int = 0
    phase_total: int = 0
    done: int = 0
    total: int = 0

    def describe(self) -> str:
        """Return it as one line."""
        phase = f": {self.phase} {self.phase_done} of {self.phase_total}" if self.phase else ""
        return f"building {self.what}{phase}"
