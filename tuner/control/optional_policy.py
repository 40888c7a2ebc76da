"""The policy, or none: one that fails once is not asked again."""

from collections.abc import Callable
from typing import TypeVar

from tuner.control.decider import Decider
from tuner.control.events import Event, EventKind

Result = TypeVar("Result")


class OptionalPolicy:
    """Ask a decider, with a fallback for when there is none, or when it raised.

    Args:
        decider: the policy; None if it could not be loaded.
        report: called once, with an event, when the decider raises.
    """

    def __init__(self, decider: Decider | None, report: Callable[[Event], None]) -> None:
        self.decider = decider
        self._report = report

    def ask(self, question: Callable[[Decider], Result], fallback: Result) -> Result:
        """Return what `question` returns for the decider, or the fallback."""
        if self.decider is None:
            return fallback
        try:
            return question(self.decider)
        except Exception as error:
            self.decider = None
            text = f"the policy failed ({type(error).__name__}: {error}): serving on without it"
            self._report(Event(EventKind.POLICY_FAILED, text))
            return fallback
