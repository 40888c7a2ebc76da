"""Remember how long builds took on this computer, to say how long the next one will take."""

from __future__ import annotations

import math

from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.spec import EngineSpec

#: The file in the engine cache.
NAME = "build-times"

#: Engines that are remembered; the oldest are forgotten.
LIMIT = 500


class BuildTimes:
    """Remembers the times of builds by network, accelerator, precision and batch."""

    def __init__(self, cache: EngineCache) -> None:
        self._cache = cache

    def keep(self, network_sha256: str, spec: EngineSpec, took_s: float) -> None:
        """Remember how long a build took."""
        known = self._known()
        name = f"{_kind(network_sha256, spec)} {spec.batch}"
        known.pop(name, None)
        known[name] = round(took_s, 1)
        self._cache.keep_json(NAME, dict(list(known.items())[-LIMIT:]))

    def usual_s(self, network_sha256: str, spec: EngineSpec) -> float:
        """Return how long an engine took, or the one with the closest batch; NaN without any."""
        kind, found = _kind(network_sha256, spec), dict[int, float]()
        for name, took_s in self._known().items():
            before, _, batch = name.rpartition(" ")
            if before == kind and batch.isdecimal():
                found[int(batch)] = took_s
        if not found:
            return math.nan
        return found[min(found, key=lambda batch: abs(batch - spec.batch))]

    def _known(self) -> dict[str, float]:
        """Return what was kept, without what is no time."""
        kept = self._cache.load_json(NAME) or {}
        return {
            name: float(took_s)
            for name, took_s in kept.items()
            if isinstance(took_s, (int, float)) and 0 <= took_s < math.inf
        }


def _kind(network_sha256: str, spec: EngineSpec) -> str:
    return f"{network_sha256[:16]} {spec.label} {spec.precision}"
