"""Sessions of OpenVINO that look like those of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
        # A tensor may have several names there, and any of them would be told.
        graph = optional_import("onnx", "networks").load(str(path), load_external_data=False).graph
        taken = {name for each in self._model.inputs for name in each.get_names()}
        self._inputs = [each.name for each in graph.input if each.name in taken]
        self._outputs = [each.name for each in graph.output]
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
        request = self._request(feed)
        request.infer(dict(feed), share_inputs=True)
        wanted = self._outputs if names is None else names
        return [request.get_tensor(name).data.copy() for name in wanted]

    def run_with_ort_values(self, names: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """Return outputs by name as values of ONNX Runtime, from such values."""
        arrays = {name: value.numpy() for name, value in feed.items()}
        return [self._ort_value.ortvalue_from_numpy(each) for each in self.run(names, arrays)]

    def _request(self, feed: Mapping[str, Array]) -> Any:
        shapes = tuple(feed[name].shape for name in self._inputs)
        if shapes not in self._requests:
            self._model.reshape({name: list(array.shape) for name, array in feed.items()})
            compiled = self._core.compile_model(self._model, "CPU", self._options)
            self._requests[shapes] = compiled.create_infer_request()
        return self._requests[shapes]
