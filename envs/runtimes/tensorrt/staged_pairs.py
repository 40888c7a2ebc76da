"""The mappings and segments of a workload whose parts have engines of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from envs.accuracy.samples import Samples, invented
from envs.errors import TunerError
from envs.runtimes.tensorrt.division import segment_count
from envs.runtimes.tensorrt.spec import ONE, PARTS, BuildOptions
from envs.runtimes.tensorrt.staged import StagedEngines
from envs.spec import (
    Accelerator,
    ConfigurationFailed,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Kind,
)


class StagedByPair:
    """Engines of parts by (tenant, accelerator), made when they are asked for first.

    Args:
        space: the workload and the accelerators, mappings and segments among them.
        paths: [T] ONNX files.
        cache: folder of engines and of the parts' files.
        options: whether mappings have an engine for each part, and how engines are built.
        samples: [T], None for invented ones.
        make: makes a factory of engines from a space, files, a folder, options and samples.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        paths: Sequence[Path],
        cache: Path,
        options: BuildOptions,
        samples: Sequence[Samples | None],
        make: Callable[..., Any],
    ) -> None:
        self._space, self._paths, self._cache = space, paths, cache
        self._options, self._samples, self._make = options, samples, make
        self._found: dict[tuple[int, int], StagedEngines] = {}
        #: By tenant and the number that is wanted: the segments that the network can have.
        self._segments: dict[tuple[int, int], int] = {}

    def of(self, tenant: int, accelerator: int) -> StagedEngines | None:
        """Return the engines of the parts of a mapping, or of segments; None for one engine.

        Raises:
            ConfigurationFailed: the network cannot be divided so.
        """
        used = self._space.device.accelerators[accelerator]
        if not self._divides(used):
            return None
        if (tenant, accelerator) not in self._found:
            network = self._space.workload.tenants[tenant].network
            try:
                self._found[tenant, accelerator] = StagedEngines(
                    self._space,
                    tenant,
                    accelerator,
                    self._paths[tenant],
                    self._samples[tenant] or invented(network, self._options.samples),
                    self._cache / "parts",
                    self._factory,
                )
            except TunerError as error:
                reason = f"no engines of {network.name} on {used.name}: {error}"
                raise ConfigurationFailed(Failure(FailureKind.BUILD_FAILED, reason)) from error
        return self._found[tenant, accelerator]

    def blocks(self, tenant: int, accelerator: int) -> int | None:
        """Return how many loadables of a DLA the parts take; None for one engine.

        Before the network is divided it is one for each part that it will have on a DLA: how many
        more a part takes is not known before its engine was loaded once.
        """
        used = self._space.device.accelerators[accelerator]
        if not self._divides(used):
            return None
        if (staged := self._found.get((tenant, accelerator))) is not None:
            return staged.blocks()
        if used.segments == 1 or used.kind is not Kind.DLA:
            return max(1, used.dla_parts)
        key = tenant, used.segments
        if key not in self._segments:
            self._segments[key] = used.segments
            with contextlib.suppress(TunerError):  # the build will say why
                self._segments[key] = segment_count(self._paths[tenant], used.segments)
        return self._segments[key]

    def unload(self, pairs: Collection[tuple[int, int]]) -> None:
        """Unload the plans of pairs (tenant, accelerator) that will not serve."""
        for pair, staged in self._found.items():
            if pair in pairs:
                staged.factory.unload(list(enumerate(staged.columns)))

    def close(self) -> None:
        """Unload every plan; the engines have been closed before."""
        for staged in self._found.values():
            staged.factory.close()

    def _divides(self, used: Accelerator) -> bool:
        """Return True if networks have an engine for each part there."""
        return used.segments > 1 or (used.mapping is not None and self._options.mappings == PARTS)

    def _factory(
        self,
        space: ConfigurationSpace,
        paths: Sequence[Path],
        samples: Sequence[Samples | None],
    ) -> Any:
        # Linear borders, since a part hands its results to another one as they are.
        options = replace(self._options, dla_io="linear", mappings=ONE)
        return self._make(space, paths, self._cache, options, samples=samples)
