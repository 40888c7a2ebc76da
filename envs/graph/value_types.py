"""The types of a graph's tensors, as ONNX Runtime infers them for any batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.graph.folding import loaded, with_outputs, without_weights
from envs.optional import optional_import

#: Types of tensors as ONNX Runtime calls them; others have no plain arrays.
_ELEMENTS = {
    "tensor(float)": "FLOAT",
    "tensor(double)": "DOUBLE",
    "tensor(float16)": "FLOAT16",
    "tensor(bool)": "BOOL",
    **{
        f"tensor({sign}int{bits})": f"{sign}int{bits}".upper()
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}


@dataclass(frozen=True)
class ValueType:
    """Hold what ONNX Runtime knows of a tensor.

    Attributes:
        element: the type of its elements, as a number of TensorProto.DataType.
        dtype: the same for NumPy.
        sizes: of its axes: a number, the name of a free size, or None for an unknown one; None if
            not even the number of axes is known.
    """

    element: int
    dtype: np.dtype[Any]
    sizes: tuple[int | str | None, ...] | None

    @property
    def known_shape(self) -> tuple[int, ...] | None:
        """Return the sizes if all are known, else None."""
        known = [size for size in self.sizes or () if isinstance(size, int)]
        return tuple(known) if self.sizes is not None and len(known) == len(self.sizes) else None


def value_types(model: Any, names: list[str]) -> dict[str, ValueType]:
    """Return the types of tensors as ONNX Runtime infers them; what is no tensor is left out.

    Raises:
        LoadingError: ONNX Runtime cannot load the model.
        DependencyError: onnxruntime is not installed.
    """
    onnx = optional_import("onnx", "networks")
    session = loaded(with_outputs(without_weights(model), names))
    asked, found = set(names), {}
    for value in (*session.get_inputs(), *session.get_outputs()):
        kind = _ELEMENTS.get(value.type)
        if value.name in asked and kind is not None:
            element = onnx.TensorProto.DataType.Value(kind)
            dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element))
            # An unknown number of axes looks like a single number there.
            found[value.name] = ValueType(element, dtype, tuple(value.shape) or None)
    return found
