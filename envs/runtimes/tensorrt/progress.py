"""The progress of a build, its time limit, and how both are told."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class BuildProgress:
    """The progress of one build.

    Attributes:
        what: the engine, such as `resnet50 on dla0, int8, batch 4`.
        phase: the builder's name of the current phase; empty if it has none.
        phase_done: finished steps of the outermost phase with steps.
        phase_total: steps of that phase; 0 if it has none.
        elapsed_s: time since the build began.
        remaining_s: time that is left, if it takes as long as earlier builds; NaN if unknown.
    """

    what: str
    phase: str = ""
    phase_done: int = 0
    phase_total: int = 0
    elapsed_s: float = 0.0
    remaining_s: float = math.nan

    def describe(self) -> str:
        """Return it as one line."""
        parts = []
        if self.phase:
            count = f" {self.phase_done} of {self.phase_total}" if self.phase_total else ""
            parts.append(f"{self.phase}{count}")
        if self.elapsed_s >= 1:
            parts.append(in_words(self.elapsed_s))
        if not math.isnan(self.remaining_s):
            parts.append(f"about {in_words(self.remaining_s)} left")
        return f"building {self.what}" + (f": {', '.join(parts)}" if parts else "")


#: Called now and then while an engine is built.
Step = Callable[[BuildProgress], None]


def in_words(duration_s: float) -> str:
    """Return a duration as text: `41 s`, `2 min`, `1.5 h`."""
    if duration_s < 100:
        return f"{duration_s:.0f} s"
    if duration_s < 100 * 60:
        return f"{duration_s / 60:.0f} min"
    return f"{duration_s / 3600:.1f} h"


class TookTooLong(Exception):
    """A build went past its limit."""


@dataclass
class _Phase:
    """A phase of the builder: finished steps, and all of them."""

    name: str
    total: int
    done: int = 0


class BuildWatch:
    """Follows one build, and ends it after a time limit. Thread-safe.

    The builder calls `started`, `stepped` and `finished` from its threads, where this TensorRT has
    a progress monitor; phases are nested.

    Args:
        what: the engine.
        limit_s: the longest that the build may take.
        usual_s: how long earlier builds of this kind took; NaN if there are none.
    """

    def __init__(
        self, what: str = "", limit_s: float = math.inf, usual_s: float = math.nan
    ) -> None:
        self.what, self.limit_s, self._usual_s = what, limit_s, usual_s
        self._began_s = time.monotonic()
        self._phases: list[_Phase] = []
        self._last = ""
        self._cancelled, self._lock = False, threading.Lock()

    @property
    def elapsed_s(self) -> float:
        """Return the time since the build began."""
        return time.monotonic() - self._began_s

    @property
    def late(self) -> bool:
        """Return True if the limit is over."""
        return self.elapsed_s > self.limit_s

    def cancel(self) -> None:
        """Let the build end at its next step."""
        self._cancelled = True

    def why_late(self) -> str:
        """Return why the build was ended, as a sentence."""
        with self._lock:
            phase = self._phases[-1].name if self._phases else self._last
        where = f" (last in {phase!r})" if phase else ""
        return (
            f"the build took {in_words(self.elapsed_s)}{where}, more than"
            f" build_limit_s={self.limit_s:g}: give more time, or leave this accelerator out"
        )

    def started(self, phase: str, steps: int) -> None:
        """Note that a phase began."""
        with self._lock:
            self._phases.append(_Phase(phase, steps))
            self._last = phase

    def stepped(self, phase: str, position: int) -> bool:
        """Note a finished step, from 0 on; return False if the build has to end."""
        with self._lock:
            for each in self._phases:
                if each.name == phase:
                    each.done = position + 1
        return not (self._cancelled or self.late)

    def finished(self, phase: str) -> None:
        """Note that a phase ended."""
        with self._lock:
            self._phases = [each for each in self._phases if each.name != phase]

    def progress(self) -> BuildProgress:
        """Return how far the build is: the innermost phase, and the steps of the outermost."""
        with self._lock:
            name = self._phases[-1].name if self._phases else ""
            outer = next((each for each in self._phases if each.total > 1), None)
            done, total = (outer.done, outer.total) if outer else (0, 0)
        elapsed_s = self.elapsed_s
        # A build that takes longer than those before has an unknown rest.
        left_s = self._usual_s - elapsed_s if self._usual_s > elapsed_s else math.nan
        return BuildProgress(self.what, name, done, total, elapsed_s, left_s)
