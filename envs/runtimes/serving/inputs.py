"""Check submitted requests: the tenant must exist, and the sample must fit its network."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union

import numpy as np

from envs.errors import RuntimeFault
from envs.runtimes.serving.queue import Request, Sample
from envs.spec import Tenant, TensorSpec

#: One sample: an array, or one array per input, in order or by name.
Inputs = Union[Sample, "dict[str, np.ndarray]", np.ndarray]


#: Types that a real number may be given in, besides that of the network.
REALS = (np.dtype(np.float32), np.dtype(np.float16))


class InputCheck:
    """Knows the names of the tenants, and the shapes and types of their inputs.

    Real numbers may be given as FP32, FP16, or INT8 numbers that an engine of the tenant takes.

    Args:
        tenants: [T] that are served.
        names: [T] of them.
        scales: returns the value of one step of each INT8 input of a tenant, by name.
    """

    def __init__(
        self,
        tenants: Sequence[Tenant],
        names: Sequence[str],
        scales: Callable[[int], Mapping[str, float]] = lambda position: {},
    ) -> None:
        self._tenants, self._names, self._scales = tenants, names, scales
        # `position` and `sample` run at every request, so that everything is looked up once.
        self._types = [
            [(spec.shape, np.dtype(spec.dtype)) for spec in tenant.network.inputs]
            for tenant in tenants
        ]

    def position(self, tenant: str | int) -> int:
        """Return the index of a tenant; RuntimeFault if there is none."""
        names = self._names
        position = (
            tenant if isinstance(tenant, int) else names.index(tenant) if tenant in names else -1
        )
        if not 0 <= position < len(names):
            raise RuntimeFault(
                f"submit: no tenant is called {tenant!r}; there are {', '.join(names)}"
            )
        return position

    def request(self, position: int, inputs: Inputs, arrival_s: float | None) -> Request:
        """Return a request; RuntimeFault if an input is missing or does not fit."""
        arrays = self.sample(position, inputs)
        specs = self._tenants[position].network.inputs
        if all(
            array.dtype != np.int8 or dtype == np.int8
            for (_, dtype), array in zip(self._types[position], arrays, strict=True)
        ):
            return Request(arrays, arrival_s)
        known = self._scales(position)
        scales = tuple(
            known[spec.name] if array.dtype == np.int8 and spec.dtype != "int8" else None
            for spec, array in zip(specs, arrays, strict=True)
        )
        return Request(arrays, arrival_s, scales)

    def sample(self, position: int, inputs: Inputs) -> Sample:
        """Return one array per input; RuntimeFault if one is missing or does not fit."""
        name, specs = self._tenants[position].name, self._tenants[position].network.inputs
        if isinstance(inputs, dict):
            missing = [spec.name for spec in specs if spec.name not in inputs]
            if missing:
                raise RuntimeFault(f"submit: the input {missing[0]!r} of {name} is missing")
            inputs = tuple(inputs[spec.name] for spec in specs)
        arrays = (
            tuple(np.asarray(each) for each in inputs)
            if isinstance(inputs, (tuple, list))
            else (np.asarray(inputs),)
        )
        if len(arrays) != len(specs):
            raise RuntimeFault(f"submit: {name} has {len(specs)} inputs, {len(arrays)} were given")
        for (shape, dtype), spec, array in zip(self._types[position], specs, arrays, strict=True):
            if array.shape == shape and (
                array.dtype == dtype or self._may_be(position, spec, dtype, array.dtype)
            ):
                continue
            hint = ""
            if array.dtype == np.int8 and dtype in REALS:
                hint = "; INT8 is taken once an engine has a scale for it (`input_scales`)"
            raise RuntimeFault(
                f"submit: {spec.name} of {name} must be {spec.dtype} {list(spec.shape)} "
                "(one sample, no batch dimension), "
                f"not {array.dtype} {list(array.shape)}{hint}"
            )
        return arrays

    def _may_be(
        self, position: int, spec: TensorSpec, dtype: np.dtype[Any], given: np.dtype[Any]
    ) -> bool:
        """Return True if real numbers of an input can be given in this type."""
        if dtype not in REALS:
            return False
        return given in REALS or (given == np.int8 and spec.name in self._scales(position))
