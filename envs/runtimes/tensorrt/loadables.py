"""Keep how many loadables of a DLA each engine takes, from its first load on.

A plan does not tell before it is loaded, and a core that is full breaks what runs on it.
"""

from __future__ import annotations

from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.spec import BuildHost, EngineSpec

#: The file in the engine cache.
NAME = "dla-loadables"

#: Engines that are remembered; the oldest are forgotten.
LIMIT = 500

#: No engine takes more than a core holds; a file that says so was damaged.
MOST = 16


class Loadables:
    """Remembers loadables by network, specification and compiler; the power mode changes none."""

    def __init__(self, cache: EngineCache) -> None:
        self._cache, self._known = cache, dict[str, int]()
        for name, count in (cache.load_json(NAME) or {}).items():
            if isinstance(count, int) and 1 <= count <= MOST:
                self._known[name] = count

    def count(self, network_sha256: str, spec: EngineSpec, host: BuildHost) -> int:
        """Return the loadables of an engine; 0 for one on the GPU, 1 for one never loaded."""
        return self._known.get(_name(network_sha256, spec, host), 1) if spec.on_dla else 0

    def keep(self, network_sha256: str, spec: EngineSpec, host: BuildHost, count: int) -> None:
        """Remember the loadables of an engine that was loaded."""
        name = _name(network_sha256, spec, host)
        if spec.on_dla and self._known.get(name) != count:
            self._known[name] = count
            self._cache.keep_json(NAME, dict(list(self._known.items())[-LIMIT:]))


def _name(network_sha256: str, spec: EngineSpec, host: BuildHost) -> str:
    form = "native" if spec.native_io else "linear"
    compiler = f"{host.tensorrt} {host.dla_compiler}"
    return f"{network_sha256[:16]} {spec.precision} {spec.batch} {form} {compiler}"
