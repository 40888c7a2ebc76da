"""The tuner seam: anything that proposes configurations from what was measured."""

from __future__ import annotations

from typing import Protocol

from envs.spec.measurement import Outcome
from envs.spec.space import Configuration


class Tuner(Protocol):
    """Proposes configurations, one at a time. `ask` repeats itself only when nothing new is left."""

    def ask(self) -> Configuration: ...

    def tell(self, configuration: Configuration, outcome: Outcome) -> None: ...
