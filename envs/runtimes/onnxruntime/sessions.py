"""Sessions of ONNX Runtime, and networks that run as several of them one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.accuracy.reference import level_for_halves
from envs.optional import optional_import

Array = npt.NDArray[np.generic]


def options_of(threads: int, halves: bool = False, as_it_is: bool = False) -> Any:
    """Return the options of a session with threads of its own.

    Args:
        threads: that compute, the calling one included.
        halves: True if the file is FP16 or BF16.
        as_it_is: True to run the file's nodes without changing them.
    """
    ort = optional_import("onnxruntime", "deploy")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if halves:
        options.graph_optimization_level = level_for_halves(ort)
    if as_it_is:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    # A thread that spins while it waits would take a core from another instance.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def open_session(source: Path | bytes, options: Any) -> Any:
    """Return a session of an ONNX file, or of a serialised model, on the processor."""
    ort = optional_import("onnxruntime", "deploy")
    return ort.InferenceSession(
        source if isinstance(source, bytes) else str(source),
        options,
        providers=["CPUExecutionProvider"],
    )


class Chain:
    """Sessions of the segments of a network, which run one after the other.

    Args:
        sessions: each reads inputs of the network and results of earlier ones, by name.
        outputs: names of the network's outputs.
    """

    def __init__(self, sessions: Sequence[Any], outputs: Sequence[str]) -> None:
        self._sessions, self._network_outputs = list(sessions), list(outputs)
        self._inputs = [[value.name for value in each.get_inputs()] for each in sessions]
        self._outputs = [[value.name for value in each.get_outputs()] for each in sessions]
        self._value_of = optional_import("onnxruntime", "deploy").OrtValue.ortvalue_from_numpy
        #: What each session's successors, or the caller, still read.
        self._kept = [
            {name for names in self._inputs[position + 1 :] for name in names} | set(outputs)
            for position in range(len(self._sessions))
        ]

    def __len__(self) -> int:
        return len(self._sessions)

    def run(self, inputs: Mapping[str, Array], between: Callable[[], None]) -> list[Array]:
        """Return the network's outputs.

        Args:
            inputs: of the network, by name.
            between: is called after each segment but the last.
        """
        alive = self.begin(inputs)
        for position in range(len(self)):
            if position:
                between()
            alive = self.advance(position, alive)
        return self.end(alive)

    def begin(self, inputs: Mapping[str, Array]) -> dict[str, Any]:
        """Return inputs by name as values that pass from session to session without a copy."""
        return {name: self._value_of(np.ascontiguousarray(each)) for name, each in inputs.items()}

    def advance(self, position: int, alive: Mapping[str, Any]) -> dict[str, Any]:
        """Run one segment; return the values that are still read, by name."""
        feed, names = (
            {name: alive[name] for name in self._inputs[position]},
            self._outputs[position],
        )
        results = self._sessions[position].run_with_ort_values(names, feed)
        found, kept = {**alive, **dict(zip(names, results, strict=True))}, self._kept[position]
        return {name: value for name, value in found.items() if name in kept}

    def end(self, alive: Mapping[str, Any]) -> list[Array]:
        """Return the network's outputs."""
        # A value that was made of an array does not keep that array alive.
        return [alive[name].numpy().copy() for name in self._network_outputs]
