from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from envs.errors import DependencyError
from envs.graph.reading import read_network
from envs.runtimes.serving.measuring import ServingOptions
from envs.runtimes.serving.runtime import ServingRuntime
from envs.runtimes.tensorrt.cuda import capture_refusal
from envs.runtimes.tensorrt.device import jetson_device
from envs.runtimes.tensorrt.factory import TensorRTEngineFactory
from envs.runtimes.tensorrt.spec import BuildOptions
from envs.runtimes.tensorrt.versions import load_bindings
from envs.spec import Configuration, ConfigurationSpace, Measurement, workload_of
from envs.telemetry.none import NoSensor
from envs.telemetry.system_memory import total_mib
from tests.standins.tensorrt import stand_ins
from tests.standins.tensorrt.child import environment
from tests.standins.tensorrt.driver import ORIN


@pytest.mark.parametrize(("version", "cores"), [("8.6.1", 2), ("10.3.0", 2), ("11.4.0", 0)])
def test_inside_the_block_a_network_is_served_on_gpu_and_dla_without_either(
    version: str, cores: int, small_onnx: Path, tmp_path: Path
) -> None:
    """Device, engines and runtime find the stand-ins by themselves."""
    with stand_ins(version, cores) as modules:
        device = jetson_device(root=tmp_path)
        assert device.accelerator_names == ("cuda", "tensor", "dla0", "dla1")[: 2 + cores]
        space = ConfigurationSpace(device, workload_of([read_network(small_onnx)]), 1, (1,))
        factory = TensorRTEngineFactory(space, [small_onnx], tmp_path, BuildOptions(samples=1))
        options = ServingOptions(batches_per_window=1, requests_per_window=1)
        with ServingRuntime(space, factory, NoSensor(), options) as runtime:
            runtime.apply(Configuration((((1, 1),) * len(device.accelerators),)))
            measured = runtime.measure(0.1)
            assert isinstance(measured, Measurement)
            assert measured.throughput_ips[0] > 0
            left_mib = ORIN.memory_mib - modules.driver.used_mib
            assert measured.gpu_free_mib == pytest.approx(left_mib, abs=1)
            assert 0 < measured.available_mib <= total_mib()
            image = np.zeros((3, 48, 48), np.float32)
            assert runtime.submit(0, image).result(60)
        assert modules.driver.live == 0


def test_the_block_leaves_the_modules_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with stand_ins():
        assert load_bindings().version == "10.3.0"
        assert "not the real one" in capture_refusal()
    assert sys.modules["tensorrt"] is None
    with pytest.raises(DependencyError, match="TensorRT cannot be imported"):
        load_bindings()


def test_a_child_process_runs_on_stand_ins_that_fail_as_its_environment_says() -> None:
    program = "\n".join(
        [
            "import tensorrt, pycuda.driver as driver",
            "print(tensorrt.__version__, tensorrt.world.dla_cores, tensorrt.world.faults.submit)",
            "driver.Device(0).retain_primary_context().push()",
            "driver.mem_alloc(8), driver.mem_alloc(8)",
        ]
    )
    faults = {"submit": ["dla1"], "memory_pieces": 1}
    variables = environment("8.6.1", 1, faults)
    run = subprocess.run(
        [sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=False
    )
    assert run.stdout == "8.6.1 1 ('dla1',)\n"
    assert run.stderr.endswith("MemoryError: cuMemAlloc failed: out of memory\n")
    broken = environment(faults={"import_error": "libnvdla_compiler.so: cannot open"})
    run = subprocess.run(
        [sys.executable, "-c", "import tensorrt"],
        env=broken,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr.endswith("ImportError: libnvdla_compiler.so: cannot open\n")
