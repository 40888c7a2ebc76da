"""INT8 ranges of a workload's networks: found once for each graph, and kept beside the engines."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.accuracy.samples import Samples
from envs.errors import NetworkError
from envs.optional import optional_import
from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.graph import for_dla, read
from envs.runtimes.tensorrt.ranges import Calibration, calibrate
from envs.runtimes.tensorrt.spec import canonical
from envs.spec import Network

#: Part of the identity: another one wherever ranges are found otherwise.
FORMAT = 1


class Calibrations:
    """Finds ranges by network, graph and samples; all batch sizes and both DLAs share them.

    Thread-safe.

    Args:
        paths: [T] ONNX files.
        networks: [T].
        samples: [T], to calibrate on; None for invented ones.
        invented: number of the invented samples.
        cache: keeps what was found.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        networks: Sequence[Network],
        samples: Sequence[Samples | None],
        invented: int,
        cache: EngineCache,
    ) -> None:
        self._paths, self._networks, self._samples = paths, networks, samples
        self._invented, self._cache = invented, cache
        self._found: dict[str, Calibration | NetworkError] = {}
        self._lock = threading.Lock()

    def identity(self, tenant: int, on_dla: bool) -> dict[str, Any]:
        """Return everything that the ranges depend on, ready for JSON."""
        given = self._samples[tenant]
        return {
            "network": self._networks[tenant].sha256,
            "samples": f"{self._invented} invented" if given is None else given.sha256,
            "graph": "dla" if on_dla else "gpu",
            "onnxruntime": optional_import("onnxruntime", "networks").__version__,
            "format": FORMAT,
        }

    def of(self, tenant: int, on_dla: bool) -> Calibration:
        """Return the calibration of the graph as it is built for the GPU or for a DLA.

        Raises:
            NetworkError: there is none; it is not tried again by this object.
        """
        key = hashlib.sha256(canonical(self.identity(tenant, on_dla))).hexdigest()
        with self._lock:
            if key not in self._found:
                try:
                    self._found[key] = self._kept_or_made(f"calibration-{key}", tenant, on_dla)
                except NetworkError as error:
                    self._found[key] = error
            found = self._found[key]
        if isinstance(found, NetworkError):
            raise found
        return found

    def _kept_or_made(self, name: str, tenant: int, on_dla: bool) -> Calibration:
        if (kept := _parsed(self._cache.load_json(name))) is not None:
            return kept
        network, model = self._networks[tenant], read(self._paths[tenant])
        if on_dla:
            model = for_dla(model, network.fixed_batch or 1).model
        made = calibrate(model, network, self._samples[tenant] or self._invented)
        self._cache.keep_json(name, made.to_dict())
        return made


def _parsed(data: dict[str, Any] | None) -> Calibration | None:
    """Return what `Calibration.to_dict` wrote; None for anything else."""
    try:
        return None if data is None else Calibration.from_dict(data)
    except (KeyError, TypeError, ValueError):
        return None
