"""Sessions of OpenVINO that look like those of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from envs.errors import NetworkError
from envs.optional import optional_import
from envs.runtimes.onnxruntime.sessions import Array


class Named(NamedTuple):
    """An input or output."""

    name: str


class OpenVinoSession:
    """A network that OpenVINO compiles for each shape of inputs when it runs first.

    A fixed shape is faster than a free one, and configurations have few batch sizes.

    Args:
        path: ONNX file; INT8 where it has quantised nodes.
        threads: that compute.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._core = optional_import("openvino", "openvino").Core()
        self._model = self._core.read_model(str(path))
        self._options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Its own choice is BF16 where a processor has it.
            "INFERENCE_PRECISION_HINT": "f32",
            # Threads that are bound to cores would meet those of other instances there.
            "ENABLE_CPU_PINNING": False,
        }
        # By place: a tensor may have several names there, and an input that something only passes
        # on has the name of what leaves that.
        graph = optional_import("onnx", "networks").load(str(path), load_external_data=False).graph
        weights = {each.name for each in graph.initializer}
        self._inputs = [each.name for each in graph.input if each.name not in weights]
        self._outputs = [each.name for each in graph.output]
        for here, there in (
            (self._inputs, self._model.inputs),
            (self._outputs, self._model.outputs),
        ):
            if len(here) != len(there):
                raise NetworkError(
                    f"{path} has other inputs or outputs in OpenVINO: leave openvino out"
                )
        self._requests: dict[tuple[tuple[int, ...], ...], Any] = {}
        self._ort_value = optional_import("onnxruntime", "deploy").OrtValue

    def get_inputs(self) -> list[Named]:
        """Return the inputs in order."""
        return [Named(name) for name in self._inputs]

    def get_outputs(self) -> list[Named]:
        """Return the outputs in order."""
        return [Named(name) for name in self._outputs]

    def run(self, names: Sequence[str] | None, feed: Mapping[str, Array]) -> list[Array]:
        """Return outputs by name, all in order where no names are given."""
        # ONNX Runtime's arrays may have C's `long long`, which OpenVINO does not take for int64.
        arrays = [feed[name].view(np.dtype(feed[name].dtype.str)) for name in self._inputs]
        request = self._request(arrays)
        request.infer(dict(enumerate(arrays)), share_inputs=True)
        wanted = self._outputs if names is None else names
        places = [self._outputs.index(name) for name in wanted]
        return [request.get_output_tensor(place).data.copy() for place in places]

    def run_with_ort_values(self, names: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """Return outputs by name as values of ONNX Runtime, from such values."""
        arrays = {name: value.numpy() for name, value in feed.items()}
        return [self._ort_value.ortvalue_from_numpy(each) for each in self.run(names, arrays)]

    def _request(self, arrays: Sequence[Array]) -> Any:
        shapes = tuple(array.shape for array in arrays)
        if shapes not in self._requests:
            self._model.reshape({place: list(shape) for place, shape in enumerate(shapes)})
            compiled = self._core.compile_model(self._model, "CPU", self._options)
            self._requests[shapes] = compiled.create_infer_request()
        return self._requests[shapes]
