"""Engines of ONNX Runtime: `cpu_fp32` serves the graph itself, `cpu_int8` a quantised copy."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.accuracy.samples import Samples
from envs.accuracy.store import ServedFile, quantized
from envs.errors import ConfigurationError, TunerError
from envs.runtimes.onnxruntime.segment_store import SegmentFiles, segmented
from envs.runtimes.onnxruntime.sessions import Chain, open_session, options_of
from envs.runtimes.serving.engine import Arrays, Step
from envs.runtimes.serving.instance import failure_of
from envs.spec import ConfigurationFailed, ConfigurationSpace, Failure, FailureKind, Network


class OnnxEngine:
    """One session with its own threads."""

    def __init__(
        self, path: Path, threads: int, inputs: Sequence[str], halves: bool = False
    ) -> None:
        self._inputs = tuple(inputs)
        self._session: Any = open_session(path, options_of(threads, halves))

    def run(self, inputs: Arrays) -> Arrays:
        """Return outputs [b, ...] for inputs [b, ...]."""
        outputs: list[npt.NDArray[np.generic]] = self._session.run(
            None, dict(zip(self._inputs, inputs, strict=True))
        )
        return outputs

    def close(self) -> None:
        """Release the session."""
        self._session = None


class SegmentedOnnxEngine:
    """A session for each segment of a network, all with the same number of threads.

    Args:
        paths: files of the segments, from `segment_store.segmented`.
        threads: of each session; only one of them works at a time.
        network: gives the names of inputs and outputs.
    """

    def __init__(self, paths: Sequence[Path], threads: int, network: Network) -> None:
        self._inputs = [spec.name for spec in network.inputs]
        options = options_of(threads, as_it_is=True)
        self._chain: Chain | None = Chain(
            [open_session(path, options) for path in paths],
            [spec.name for spec in network.outputs],
        )

    def run(self, inputs: Arrays) -> Arrays:
        """Return outputs [b, ...] for inputs [b, ...]."""
        return self.run_segments(inputs, lambda: None)

    def run_segments(self, inputs: Arrays, give_way: Callable[[], None]) -> Arrays:
        """Return outputs [b, ...] for inputs [b, ...]; call `give_way` between two segments."""
        assert self._chain is not None, "the engine is closed"
        return self._chain.run(dict(zip(self._inputs, inputs, strict=True)), give_way)

    def close(self) -> None:
        """Release the sessions."""
        self._chain = None


class OnnxEngineFactory:
    """Loads sessions of the workload's networks.

    Args:
        space: the workload, and the accelerators `cpu_fp32` and `cpu_int8` in any order and in any
            number of segments.
        paths: [T] ONNX files, in the order of the tenants.
        cache: folder that keeps quantised graphs from one run to the next.
        samples: [T], to calibrate INT8 on; None, for a tenant or at all, for invented ones.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        paths: Sequence[Path],
        cache: Path,
        samples: Sequence[Samples | None] | None = None,
    ) -> None:
        if len(paths) != len(space.workload.tenants):
            raise ConfigurationError(
                f"{len(paths)} ONNX files for {len(space.workload.tenants)} tenants"
            )
        self._space = space
        self._paths = [Path(path) for path in paths]
        self._cache = cache
        self._samples = samples or [None] * len(paths)

    def file(self, tenant: int, accelerator: int) -> ServedFile:
        """Return the graph that this tenant serves here; raises the errors of `quantized`."""
        network = self._space.workload.tenants[tenant].network
        if self._space.device.accelerators[accelerator].precision == "int8":
            return quantized(self._paths[tenant], network, self._cache, self._samples[tenant])
        return ServedFile(self._paths[tenant])

    def segments(self, tenant: int, accelerator: int) -> SegmentFiles:
        """Return the segments of the graph that this tenant serves here.

        Raises:
            TunerError: as `quantized` and `segmented`.
        """
        network, path = (
            self._space.workload.tenants[tenant].network,
            self.file(tenant, accelerator).path,
        )
        count = self._space.device.accelerators[accelerator].segments
        return segmented(path, network, count, self._cache, self._samples[tenant])

    def calibration(self, tenant: int, accelerator: int) -> tuple[str, int]:
        """Return how an INT8 graph was calibrated: the method, and the number of samples."""
        file = self.file(tenant, accelerator)
        return file.calibration, file.calibrated_on

    def build(self, tenant: int, accelerator: int, batch: int, step: Step | None = None) -> None:
        """Quantise and cut now, so that no measurement waits; all batch sizes share the graph.

        Raises:
            ConfigurationFailed: that cannot be done, or the result cannot be kept.
        """
        try:
            self.segments(tenant, accelerator)
        except TunerError as error:
            raise ConfigurationFailed(Failure(FailureKind.BUILD_FAILED, str(error))) from error

    def built(self, tenant: int, accelerator: int, batch: int) -> bool:
        """Return True if the graph is served as it is."""
        where = self._space.device.accelerators[accelerator]
        return where.precision != "int8" and where.segments == 1

    def blocks(self, tenant: int, accelerator: int) -> int:
        """Return 1: there is no DLA."""
        return 1

    def load(self, tenant: int, accelerator: int, threads: int) -> OnnxEngine | SegmentedOnnxEngine:
        """Load a session; ConfigurationFailed where that is impossible."""
        network = self._space.workload.tenants[tenant].network
        file = self.file(tenant, accelerator).path
        try:
            segments = self.segments(tenant, accelerator)
            if not segments.whole:
                return SegmentedOnnxEngine(segments.paths, threads, network)
            names = [spec.name for spec in network.inputs]
            return OnnxEngine(file, threads, names, network.float_type != "float32")
        except Exception as error:  # the errors of ONNX Runtime have no common base
            raise ConfigurationFailed(
                failure_of(error, f"ONNX Runtime cannot load {file.name}")
            ) from error

    def unload(self, pairs: Collection[tuple[int, int]]) -> None:
        """Do nothing: engines of one graph share nothing."""

    def close(self) -> None:
        """Do nothing: the factory holds nothing beyond the engines."""
