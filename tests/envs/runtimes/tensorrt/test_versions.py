"""The differences between versions of TensorRT, tested with the names that each really has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from envs.errors import DependencyError
from envs.runtimes.tensorrt.build import Built, build
from envs.runtimes.tensorrt.graph import for_dla
from envs.runtimes.tensorrt.progress import BuildWatch
from envs.runtimes.tensorrt.ranges import calibrate
from envs.runtimes.tensorrt.spec import BuildOptions, EngineSpec, spec_of
from envs.runtimes.tensorrt.versions import Bindings, load_bindings
from envs.spec import ConfigurationFailed, FailureKind, Kind, Network
from tests.envs.runtimes.tensorrt.worlds import at
from tests.standins.tensorrt.module import fake_module
from tests.standins.tensorrt.names import NAMES, VERSIONS

#: Which versions read the precision off the file.
TYPED = {version: version.startswith(("11", "rtx")) for version in VERSIONS}


def made(
    version: str,
    small: tuple[Path, Network],
    name: str,
    options: BuildOptions | None = None,
    cores: int = 2,
    precision: str | None = None,
) -> tuple[Built, Any, Any]:
    """Build at batch 2; return the engine, the builder's configuration, and the module."""
    module, options = fake_module(version, cores), options or BuildOptions(samples=1)
    bindings = Bindings(module)
    spec = spec_of(at(name, precision), small[1], 2, options, static=False)
    calibration = None
    if spec.calibrated:
        model = onnx.load(str(small[0]))
        calibration = calibrate(for_dla(model, 1).model if spec.on_dla else model, small[1], 1)
    built = build(bindings, *small, spec, options, calibration)
    return built, module.world.configs[-1], module


@pytest.mark.parametrize("version", VERSIONS)
class TestEveryVersion:
    def test_types_follow_the_names(self, version: str) -> None:
        bindings = Bindings(fake_module(version))
        assert bindings.version == version.removeprefix("rtx-")
        assert bindings.strongly_typed == TYPED[version]
        assert bindings.shares_profiles

    def test_cuda_is_fp32_without_tensor_cores(
        self, version: str, small: tuple[Path, Network]
    ) -> None:
        _, config, module = made(version, small, "cuda")
        assert not config._flags  # TF32 is on unless it is cleared, and with it the Tensor cores
        sources = module.TacticSource
        vendor = [source for source in ("CUBLAS", "CUBLAS_LT", "CUDNN") if hasattr(sources, source)]
        assert bool(vendor) == (config._sources is not None)
        for source in vendor:
            assert not config._sources & 1 << int(getattr(sources, source))

    def test_tensor_permits_fp16_by_flag_or_by_the_file(
        self, version: str, small: tuple[Path, Network]
    ) -> None:
        built, config, _ = made(version, small, "tensor")
        if TYPED[version]:
            assert "casts at both ends" in built.notes["changes"][-1]
            assert {flag.name for flag in config._flags} == {"TF32"}
        else:
            assert {flag.name for flag in config._flags} == {"TF32", "FP16"}
            assert built.notes["changes"] == []

    def test_int8_is_by_ranges_or_by_the_file(
        self, version: str, small: tuple[Path, Network]
    ) -> None:
        built, config, module = made(version, small, "tensor", precision="int8")
        tensors = [layer.get_output(0) for layer in module.world.networks[-1]._layers]
        if TYPED[version]:
            assert "quantised by nodes" in built.notes["changes"][0]
            return
        assert {flag.name for flag in config._flags} == {"TF32", "FP16", "INT8"}
        assert all(tensor.dynamic_range[1] > 0 for tensor in tensors)
        pools = [
            layer for layer in module.world.networks[-1]._layers if layer.type.name == "POOLING"
        ]
        assert pools
        assert all(
            layer.get_input(0).dynamic_range == layer.get_output(0).dynamic_range for layer in pools
        )

    def test_builds_for_the_dla_are_static_and_in_order(
        self, version: str, small: tuple[Path, Network]
    ) -> None:
        built, config, module = made(version, small, "dla0")
        assert config.default_device_type.name == "DLA"
        assert config.DLA_core == 0
        assert config._profiles == []
        calls = [
            call
            for call in config._calls
            if call in ("default_device_type", "DLA_core", "GPU_FALLBACK", "FP16", "INT8")
        ]
        assert calls == [
            "default_device_type",
            "DLA_core",
            "GPU_FALLBACK",
            *([] if TYPED[version] else ["FP16", "INT8"]),
        ]
        assert module.world.networks[-1].get_input(0).shape == (2, 3, 64, 64)
        assert built.notes["changes"][0] == "the batch is 2, fixed"
        assert bool(built.notes["scales"]) != TYPED[version]

    def test_the_ends_of_a_dla_engine_are_its_own_or_linear(
        self, version: str, small: tuple[Path, Network]
    ) -> None:
        for io in ("native", "linear"):
            _, _, module = made(version, small, "dla0", BuildOptions(dla_io=io, samples=1))
            network, formats = module.world.networks[-1], module.TensorFormat
            own = formats.CHW16 if TYPED[version] else formats.CHW32
            for tensor in (network.get_input(0), network.get_output(0)):
                if io == "native":
                    assert tensor.dtype.name == ("HALF" if TYPED[version] else "INT8")
                    assert tensor.allowed_formats == 1 << int(formats.DLA_LINEAR) | 1 << int(own)
                else:
                    assert (tensor.dtype.name, tensor.allowed_formats) == ("FLOAT", 1)

    def test_no_core_no_engine_whatever_names_there_are(
        self, version: str, small: tuple[Path, Network]
    ) -> None:
        assert "DLA_core" in NAMES[version]["classes"]["IBuilderConfig"]  # the name proves nothing
        assert Bindings(fake_module(version)).dla_cores() == 0
        with pytest.raises(ConfigurationFailed, match="finds no DLA here") as caught:
            made(version, small, "dla0", cores=0)
        assert caught.value.failure.kind is FailureKind.BUILD_FAILED

    def test_one_stream_and_a_talkative_engine(
        self, version: str, small: tuple[Path, Network]
    ) -> None:
        _, config, module = made(version, small, "cuda")
        assert config.max_aux_streams == 0
        assert config.profiling_verbosity == module.ProfilingVerbosity.DETAILED
        assert config.builder_optimization_level == 3

    def test_contexts_may_share_the_profile(
        self, version: str, small: tuple[Path, Network]
    ) -> None:
        _, config, _ = made(version, small, "cuda")
        assert config._features == (
            {"PROFILE_SHARING_0806": True} if version.startswith("8.6") else {}
        )
        (profile,) = config._profiles
        assert profile._shapes == {"input": ((1, 3, 64, 64), (2, 3, 64, 64), (2, 3, 64, 64))}

    def test_runtime_has_its_core_before_it_loads(self, version: str) -> None:
        bindings = Bindings(fake_module(version, 2))
        assert [bindings.runtime(core).DLA_core for core in (0, 1)] == [0, 1]
        assert bindings.runtime(None).DLA_core == -1

    def test_progress_where_there_is_a_monitor(
        self, version: str, small: tuple[Path, Network]
    ) -> None:
        steps: list[tuple[str, int, int]] = []

        class Watch(BuildWatch):
            def stepped(self, phase: str, position: int) -> bool:
                going_on = super().stepped(phase, position)
                at = self.progress()
                steps.append((at.phase, at.phase_done, at.phase_total))
                return going_on

        bindings = Bindings(fake_module(version))
        spec = EngineSpec(Kind.CUDA_CORES, "fp32", 1, False)
        build(bindings, *small, spec, BuildOptions(), watch=Watch())
        assert bindings.has_monitor == ("IProgressMonitor" in NAMES[version]["module"])
        told = [("Building Engine", 1, 2), ("Building Engine", 2, 2)]
        assert steps == (told if bindings.has_monitor else [])

    def test_timings_go_on_and_damaged_ones_are_dropped(
        self, version: str, small: tuple[Path, Network]
    ) -> None:
        spec = EngineSpec(Kind.CUDA_CORES, "fp32", 1, False)
        for before, after in ((b"", b"."), (b"known", b"known."), (b"damaged", b".")):
            assert (
                build(
                    Bindings(fake_module(version)), *small, spec, BuildOptions(), timings=before
                ).timings
                == after
            )

    def test_failure_has_the_builders_last_words(
        self, version: str, small: tuple[Path, Network]
    ) -> None:
        module = fake_module(version)
        module.world.fail_build = (
            "Error Code 10: Could not find any implementation for node {ForeignNode[a...b]}."
        )
        with pytest.raises(
            ConfigurationFailed, match="Could not find any implementation"
        ) as caught:
            build(
                Bindings(module),
                *small,
                EngineSpec(Kind.CUDA_CORES, "fp32", 1, False),
                BuildOptions(),
            )
        assert caught.value.failure.kind is FailureKind.BUILD_FAILED
        assert "\n" not in caught.value.failure.reason


def test_where_profiles_cannot_be_shared_engines_are_static() -> None:
    """As in 8.5: several contexts of a dynamic engine would each need their own profile."""
    module = fake_module("8.6.1")
    del module.PreviewFeature
    assert not Bindings(module).shares_profiles


def test_without_tensorrt_the_error_says_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(DependencyError, match="system-site-packages"):
        load_bindings()


def test_names_in_the_captured_lists_agree_with_what_is_known() -> None:
    """The table of the differences, found by comparing the bindings."""
    flags = {version: NAMES[version]["enums"]["BuilderFlag"] for version in VERSIONS}
    assert {version: "INT8" not in each for version, each in flags.items()} == TYPED
    assert all("TF32" in each and "GPU_FALLBACK" in each for each in flags.values())
    assert flags["8.6.1"]["TF32"] != flags["10.3.0"]["TF32"]  # numbers move: code goes by names
    creation = {
        version: NAMES[version]["enums"]["NetworkDefinitionCreationFlag"] for version in VERSIONS
    }
    assert "EXPLICIT_BATCH" not in creation["11.4.0"]
    engine = {version: NAMES[version]["classes"]["ICudaEngine"] for version in VERSIONS}
    assert "device_memory_size_v2" not in engine["8.6.1"]
    assert "device_memory_size" not in engine["11.4.0"]
    assert all(
        "dynamic_range" in NAMES[version]["classes"]["ITensor"]
        for version in VERSIONS
        if not TYPED[version]
    )


def test_plugins_are_registered_once_before_anything_is_made() -> None:
    module, calls = fake_module("10.3.0"), list[tuple[object, str]]()
    module.init_libnvinfer_plugins = lambda logger, space: calls.append((logger, space))
    bindings = Bindings(module)
    bindings.runtime(None)
    bindings.builder()
    assert calls == [(bindings.logger, "")]


def test_verbose_lines_are_dropped_and_errors_are_kept() -> None:
    module = fake_module("10.3.0")
    bindings = Bindings(module)
    for name in ("VERBOSE", "INFO", "ERROR"):
        bindings.logger.log(getattr(module.ILogger.Severity, name), f"of {name}")
    assert bindings.lines.errors() == "of ERROR"
    assert [severity for severity, _ in bindings.lines._others] == ["INFO", "ERROR"]
