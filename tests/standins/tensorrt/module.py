"""A stand-in for the TensorRT module of any version.

It has only the names that the published bindings of that version have. Its engines compute, so
that a wrong shape, address or scale gives wrong numbers.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from envs.optional import optional_import
from tests.standins.tensorrt.engines import Runtime
from tests.standins.tensorrt.faults import Faults
from tests.standins.tensorrt.names import NAMES, Named, World
from tests.standins.tensorrt.network import ConstantLayer, Network
from tests.standins.tensorrt.numerics import as_built


def fake_module(version: str, dla_cores: int = 0, faults: Faults | None = None) -> Any:
    """Return the module of `version`, on a computer with that many DLA cores."""
    world = World(version, dla_cores, faults or Faults())
    names = NAMES[version]
    module = SimpleNamespace(
        __name__="tensorrt_rtx" if version.startswith("rtx") else "tensorrt",
        __version__=version.removeprefix("rtx-"),
        world=world,
    )
    for name in names["module"]:
        if name in world.enums:
            setattr(module, name, world.enums[name])
        elif name in _MAKERS:
            setattr(module, name, _MAKERS[name](world))
    return module


class _Parser(Named, kind="OnnxParser"):
    def __init__(self, world: World, network: Any) -> None:
        super().__init__(world, _network=network, _errors=[])

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, position: int) -> str:
        return str(self._errors[position])

    def parse_from_file(self, path: str) -> bool:
        model = optional_import("onnx", "networks").load(path)
        unknown = [node.op_type for node in model.graph.node if node.domain not in ("", "ai.onnx")]
        if unknown:
            self._errors.append(
                f"In node 0 with name: and operator: {unknown[0]}\n"
                "(importNode): UNSUPPORTED_NODE: no importer registered"
            )
            return False
        self._network._read(model)
        return True


class _TimingCache(Named, kind="ITimingCache"):
    def __init__(self, world: World, content: bytes) -> None:
        super().__init__(world, _content=content)

    def serialize(self) -> bytes:
        return bytes(self._content + b".")


class _Config(Named, kind="IBuilderConfig"):
    def __init__(self, world: World) -> None:
        super().__init__(world, _flags={world.flag("TF32")}, _calls=[], _pools={}, _profiles=[])
        self._put(_features={}, _cache=None, _sources=None, progress_monitor=None, _core=-1)
        self._put(default_device_type=world.enums["DeviceType"].GPU, _devices={})
        world.configs.append(self)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self._calls.append(name)

    @property
    def DLA_core(self) -> Any:  # noqa: N802  # TensorRT's own name
        return self._core

    @DLA_core.setter
    def DLA_core(self, core: int) -> None:  # noqa: N802
        if self._world.dla_cores:  # otherwise TensorRT ignores it silently (NvInferRuntime.h)
            self._put(_core=core)

    def set_flag(self, flag: Any) -> None:
        self._flags.add(flag)
        self._calls.append(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self._flags.discard(flag)

    def set_device_type(self, layer: Any, device: Any) -> None:
        for tensor in layer._outputs:
            if tensor is not None:
                self._devices[tensor.name] = device.name

    def set_tactic_sources(self, sources: int) -> bool:
        self._put(_sources=sources)
        return True

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self._pools[pool] = size

    def get_memory_pool_limit(self, pool: Any) -> int:
        return int(self._pools.get(pool, 0))

    def add_optimization_profile(self, profile: Any) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def set_preview_feature(self, feature: Any, on: bool) -> None:
        self._features[feature.name] = on

    def create_timing_cache(self, content: bytes) -> Any:
        if content.startswith(b"damaged"):
            raise RuntimeError("not a timing cache")
        return _TimingCache(self._world, content)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        self._put(_cache=cache)
        return True


class _Profile(Named, kind="IOptimizationProfile"):
    def set_shape(self, name: str, smallest: Any, best: Any, largest: Any) -> None:
        self.__dict__.setdefault("_shapes", {})[name] = (smallest, best, largest)


class _Builder(Named, kind="Builder"):
    def __init__(self, world: World, logger: Any) -> None:
        super().__init__(world, num_DLA_cores=world.dla_cores, max_DLA_batch_size=4096)
        world.logger = logger

    def create_network(self, flags: int = 0) -> Any:
        # 8.x has no other kind that its ONNX parser takes.
        assert flags == 1 or not self._world.version.startswith("8."), (
            "explicit batch has to be asked for"
        )
        self._world.networks.append(Network(self._world))
        return self._world.networks[-1]

    def create_builder_config(self) -> Any:
        return _Config(self._world)

    def create_optimization_profile(self) -> Any:
        return _Profile(self._world)

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        world = self._world
        if world.fail_build:
            world.log(world.fail_build)
            return None
        monitor = (
            config.progress_monitor if world.has("IBuilderConfig", "progress_monitor") else None
        )
        dynamic = any(-1 in tensor.shape for tensor in network._inputs)
        on_dla = config.default_device_type == world.enums["DeviceType"].DLA
        on_dla |= "DLA" in config._devices.values()
        world.builds += 1
        if why := world.faults.builds("dla" if on_dla else "gpu", monitor):
            world.log(why)
            return None
        assert not (dynamic and on_dla), "a DLA takes no dynamic shapes"
        assert bool(config._profiles) == dynamic
        ends = {
            tensor.name: {
                "dtype": tensor.dtype.name,
                "formats": tensor.allowed_formats,
                "shape": list(tensor.shape),
            }
            for tensor in (*network._inputs, *network._outputs)
        }
        for tensor in (*network._inputs, *network._outputs):
            ends[tensor.name]["range"] = (
                tensor.dynamic_range[1]
                if world.has("ITensor", "dynamic_range") and tensor.dynamic_range
                else None
            )
        header = {"version": world.version, "dla": on_dla, "ends": ends}
        header["devices"] = config._devices
        header["release"] = world.faults.release
        header["profiles"] = [profile._shapes for profile in config._profiles]
        ranges = {}
        if world.has("ITensor", "dynamic_range"):
            ranges = {
                tensor.name: tensor.dynamic_range[1]
                for layer in network._layers
                for tensor in (*layer._inputs, *layer._outputs)
                if tensor is not None and tensor.dynamic_range
            }
        held = {
            tensor.name
            for layer in network._layers
            for tensor in layer._outputs
            if tensor is not None and layer._held is not None
        }
        model = as_built(network._model, {flag.name for flag in config._flags}, ranges, held)
        return json.dumps(header).encode() + b"\n" + bytes(model.SerializeToString())


def _maker(kind: Any) -> Any:
    # The second argument of a parser is the logger.
    return lambda world: lambda *arguments: kind(world, arguments[0])


def _logger(world: World) -> Any:
    return type("ILogger", (), {"Severity": world.enums["Severity"]})


_MAKERS: dict[str, Any] = {
    "Builder": _maker(_Builder),
    "Runtime": _maker(Runtime),
    "OnnxParser": _maker(_Parser),
    "ILogger": _logger,
    "IConstantLayer": lambda world: ConstantLayer,
    "IProgressMonitor": lambda world: type("IProgressMonitor", (), {}),
}
