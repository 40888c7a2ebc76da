"""Check submitted requests: the tenant must exist, and the sample must fit its network."""

from collections.abc import Sequence
from typing import Union

import numpy as np

from envs.errors import RuntimeFault
from envs.runtimes.serving.queue import Sample
from envs.spec import Tenant

#: One sample: an array, or one array per input, in order or by name.
Inputs = Union[Sample, "dict[str, np.ndarray]", np.ndarray]


class InputCheck:
    """Knows the names of the tenants, and the shapes and types of their inputs."""

    def __init__(self, tenants: Sequence[Tenant], names: Sequence[str]) -> None:
        self._tenants, self._names = tenants, names
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
            if array.shape != shape or array.dtype != dtype:
                raise RuntimeFault(
                    f"submit: {spec.name} of {name} must be {spec.dtype} {list(spec.shape)} "
                    "(one sample, no batch dimension), "
                    f"not {array.dtype} {list(array.shape)}"
                )
        return arrays
