"""Remember builds that failed, so that none is tried again in vain."""

from __future__ import annotations

from typing import Any

from envs.runtimes.tensorrt.build import may_pass
from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.markers import why_dangerous


class BuildFailures:
    """Knows why engines are not built: in this process, and on disk for the next one.

    Args:
        cache: keeps failures from one run to the next.
    """

    def __init__(self, cache: EngineCache) -> None:
        self._cache, self._here = cache, dict[str, str]()

    def why(self, identity: dict[str, Any], left: str) -> str:
        """Return why an engine cannot be built, as far as that is known; empty if it may be.

        Args:
            identity: of the engine.
            left: the build that nobody waits for any more but still runs; empty without one.
        """
        if reason := self._here.get(self._cache.key(identity)):  # both DLA cores run the same plan
            return reason
        if (kept := self._cache.failure(identity)) is not None:
            return (
                f"{kept} (remembered from an earlier build: remove its .failed.json to try again)"
            )
        if left:
            return (
                f"the build of {left} went past its limit and cannot be ended, so that nothing"
                " else is built: start again"
            )
        return why_dangerous(self._cache, identity)

    def keep_here(self, identity: dict[str, Any], reason: str) -> None:
        """Remember a failure in this process alone: the next one may do better."""
        self._here[self._cache.key(identity)] = reason

    def keep(self, identity: dict[str, Any], error: Exception, reason: str) -> None:
        """Remember a failure, unless it may pass."""
        if not may_pass(error):
            self.keep_here(identity, reason)
            self._cache.remember_failure(identity, reason)
