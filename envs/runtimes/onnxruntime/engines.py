"""Engines of ONNX Runtime: `cpu_fp32` serves the graph itself, `cpu_int8` a quantised copy."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.accuracy.reference import level_for_halves
from envs.accuracy.samples import Samples
from envs.accuracy.store import ServedFile, quantized
from envs.errors import ConfigurationError, TunerError
from envs.optional import optional_import
from envs.runtimes.serving.engine import Arrays, Step
from envs.runtimes.serving.instance import failure_of
from envs.spec import ConfigurationFailed, ConfigurationSpace, Failure, FailureKind


class OnnxEngine:
    """One session with its own threads."""

    def __init__(
        self, path: Path, threads: int, inputs: Sequence[str], halves: bool = False
    ) -> None:
        ort = optional_import("onnxruntime", "deploy")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if halves:
            options.graph_optimization_level = level_for_halves(ort)
        # A thread that spins while it waits would take a core from another instance.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._inputs = tuple(inputs)
        self._session: Any = ort.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def run(self, inputs: Arrays) -> Arrays:
        """Return outputs [b, ...] for inputs [b, ...]."""
        outputs: list[npt.NDArray[np.generic]] = self._session.run(
            None, dict(zip(self._inputs, inputs, strict=True))
        )
        return outputs

    def close(self) -> None:
        """Release the session."""
        self._session = None


class OnnxEngineFactory:
    """Loads sessions of the workload's networks.

    Args:
        space: the workload, and the accelerators `cpu_fp32` and `cpu_int8` in any order.
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

    def calibration(self, tenant: int, accelerator: int) -> tuple[str, int]:
        """Return how an INT8 graph was calibrated: the method, and the number of samples."""
        file = self.file(tenant, accelerator)
        return file.calibration, file.calibrated_on

    def build(self, tenant: int, accelerator: int, batch: int, step: Step | None = None) -> None:
        """Quantise now, so that no measurement waits for it; all batch sizes share the graph.

        Raises:
            ConfigurationFailed: it cannot be quantised, or the copy cannot be kept.
        """
        try:
            self.file(tenant, accelerator)
        except TunerError as error:
            raise ConfigurationFailed(Failure(FailureKind.BUILD_FAILED, str(error))) from error

    def built(self, tenant: int, accelerator: int, batch: int) -> bool:
        """Return True if the graph is served as it is."""
        return self._space.device.accelerators[accelerator].precision != "int8"

    def blocks(self, tenant: int, accelerator: int) -> int:
        """Return 1: there is no DLA."""
        return 1

    def load(self, tenant: int, accelerator: int, threads: int) -> OnnxEngine:
        """Load a session; ConfigurationFailed where that is impossible."""
        network = self._space.workload.tenants[tenant].network
        path = self.file(tenant, accelerator).path
        try:
            names = [spec.name for spec in network.inputs]
            return OnnxEngine(path, threads, names, network.float_type != "float32")
        except Exception as error:  # the errors of ONNX Runtime have no common base
            raise ConfigurationFailed(
                failure_of(error, f"ONNX Runtime cannot load {path.name}")
            ) from error

    def unload(self, pairs: Collection[tuple[int, int]]) -> None:
        """Do nothing: engines of one graph share nothing."""

    def close(self) -> None:
        """Do nothing: the factory holds nothing beyond the engines."""
