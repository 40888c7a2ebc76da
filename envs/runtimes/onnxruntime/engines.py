"""Engines of a processor: FP32 serves the graph itself, INT8 a quantised copy.

ONNX Runtime runs `cpu_fp32` and `cpu_int8`, OpenVINO `openvino_fp32` and `openvino_int8`. On a
mapping a network runs as several sessions, one after the other, each by the engine of its part.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.accuracy.samples import Samples
from envs.accuracy.store import ServedFile, quantized
from envs.arrays import NamedArrays
from envs.errors import ConfigurationError, NetworkError, TunerError
from envs.runtimes.onnxruntime.opening import by_openvino, open_on
from envs.runtimes.onnxruntime.openvino import OpenVinoSession
from envs.runtimes.onnxruntime.parts import parts_of
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


class OpenVinoEngine(OnnxEngine):
    """One session of OpenVINO with its own threads."""

    def __init__(self, path: Path, threads: int, inputs: Sequence[str]) -> None:
        self._inputs = tuple(inputs)
        self._session = OpenVinoSession(path, threads)


class SegmentedOnnxEngine:
    """A session for each segment of a network, or for each part of a mapping.

    Args:
        sessions: in order; only one of them works at a time.
        network: gives the names of inputs and outputs.
    """

    def __init__(self, sessions: Sequence[Any], network: Network) -> None:
        self._inputs = [spec.name for spec in network.inputs]
        outputs = [spec.name for spec in network.outputs]
        self._chain: Chain | None = Chain(sessions, outputs)

    @property
    def chain(self) -> Chain:
        """Return its sessions."""
        assert self._chain is not None, "the engine is closed"
        return self._chain

    def named(self, inputs: Arrays) -> NamedArrays:
        """Return inputs by their names."""
        return dict(zip(self._inputs, inputs, strict=True))

    def run(self, inputs: Arrays) -> Arrays:
        """Return outputs [b, ...] for inputs [b, ...]."""
        return self.run_segments(inputs, lambda: None)

    def run_segments(self, inputs: Arrays, give_way: Callable[[], None]) -> Arrays:
        """Return outputs [b, ...] for inputs [b, ...]; call `give_way` between two segments."""
        return self.chain.run(self.named(inputs), give_way)

    def close(self) -> None:
        """Release the sessions."""
        self._chain = None


def segments_as_they_are(paths: Sequence[Path], threads: int) -> list[Any]:
    """Return sessions of the files of `segment_store.segmented`, each with so many threads."""
    options = options_of(threads, as_it_is=True)
    return [open_session(path, options) for path in paths]


class OnnxEngineFactory:
    """Loads sessions of the workload's networks.

    Args:
        space: the workload, and accelerators of a processor in any order and in any number of
            segments, and mappings of them.
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
        where = self._space.device.accelerators[accelerator]
        count = where.segments
        if by_openvino(where) and count > 1:
            raise NetworkError(
                "OpenVINO runs a network in one piece here: choose segments on cpu_fp32 or cpu_int8"
            )
        return segmented(path, network, count, self._cache, self._samples[tenant])

    def parts(self, tenant: int, accelerator: int) -> list[ServedFile]:
        """Return the graphs of the parts of a mapping [P]; raises the errors of `parts_of`."""
        mapping = self._space.device.accelerators[accelerator].mapping
        assert mapping is not None, "a whole network has no parts"
        network, path = self._space.workload.tenants[tenant].network, self._paths[tenant]
        return parts_of(path, network, mapping, self._cache, self._samples[tenant])

    def calibration(self, tenant: int, accelerator: int) -> tuple[str, int]:
        """Return how INT8 was calibrated: the methods, and the number of samples."""
        if self._space.device.accelerators[accelerator].mapping is not None:
            used = [each for each in self.parts(tenant, accelerator) if each.calibration]
            methods = dict.fromkeys(each.calibration for each in used)
            return ", ".join(methods), max((each.calibrated_on for each in used), default=0)
        file = self.file(tenant, accelerator)
        return file.calibration, file.calibrated_on

    def build(self, tenant: int, accelerator: int, batch: int, step: Step | None = None) -> None:
        """Quantise and cut now, so that no measurement waits; all batch sizes share the graph.

        Raises:
            ConfigurationFailed: that cannot be done, or the result cannot be kept.
        """
        mapped = self._space.device.accelerators[accelerator].mapping is not None
        try:
            (self.parts if mapped else self.segments)(tenant, accelerator)
        except TunerError as error:
            raise ConfigurationFailed(Failure(FailureKind.BUILD_FAILED, str(error))) from error

    def built(self, tenant: int, accelerator: int, batch: int) -> bool:
        """Return True if the graph is served as it is."""
        where = self._space.device.accelerators[accelerator]
        return where.precision != "int8" and where.segments == 1 and where.mapping is None

    def blocks(self, tenant: int, accelerator: int) -> int:
        """Return 1: there is no DLA."""
        return 1

    def load(self, tenant: int, accelerator: int, threads: int) -> OnnxEngine | SegmentedOnnxEngine:
        """Load a session; ConfigurationFailed where that is impossible."""
        where = self._space.device.accelerators[accelerator]
        name = self._space.workload.tenants[tenant].network.name
        if where.mapping is None:
            name = self.file(tenant, accelerator).path.name
        try:
            return self._load(tenant, accelerator, threads)
        except Exception as error:  # the errors of ONNX Runtime have no common base
            engine = "OpenVINO" if by_openvino(where) else "ONNX Runtime"
            raise ConfigurationFailed(failure_of(error, f"{engine} cannot load {name}")) from error

    def _load(
        self, tenant: int, accelerator: int, threads: int
    ) -> OnnxEngine | SegmentedOnnxEngine:
        network = self._space.workload.tenants[tenant].network
        where = self._space.device.accelerators[accelerator]
        halves = network.float_type != "float32"
        if where.mapping is not None:
            files = self.parts(tenant, accelerator)
            parts = zip(self._space.device.parts(where), files, strict=True)
            sessions = [open_on(part, file.path, threads, halves) for part, file in parts]
            return SegmentedOnnxEngine(sessions, network)
        segments = self.segments(tenant, accelerator)
        if not segments.whole:
            sessions = segments_as_they_are(segments.paths, threads)
            return SegmentedOnnxEngine(sessions, network)
        file, names = self.file(tenant, accelerator).path, [spec.name for spec in network.inputs]
        if by_openvino(where):
            return OpenVinoEngine(file, threads, names)
        return OnnxEngine(file, threads, names, halves)

    def unload(self, pairs: Collection[tuple[int, int]]) -> None:
        """Do nothing: engines of one graph share nothing."""

    def close(self) -> None:
        """Do nothing: the factory holds nothing beyond the engines."""
