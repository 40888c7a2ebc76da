"""The command lines of trtexec, and the script, which a real shell runs whatever its names."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import NetworkError, OptionError
from envs.graph.reading import read_network
from envs.spec import TensorSpec, workload_of
from tests.tuner.exports.recorder import run
from tests.tuner.exports.samples import NASTY, configured, models, network, write_relu
from tuner.exports.answers import Slot, placed
from tuner.exports.engines import BuildOptions
from tuner.exports.folder import write_folder
from tuner.exports.models import Model, models_of, safe_names
from tuner.exports.trtexec import arguments, export_trtexec, preparation, script

#: Options of NVIDIA's Model Optimizer (nvidia-modelopt 0.47.0, modelopt/onnx/*/__main__.py) that
#: are of use here. NVIDIA's page on strongly typed networks for DLA also gives `--target_dla` to
#: autocast, which refuses it.
MODELOPT = {
    "modelopt.onnx.autocast": {
        "--onnx_path",
        "--output_path",
        "--low_precision_type",
        "--keep_io_types",
        "--opset",
        "--calibration_data",
    },
    "modelopt.onnx.quantization": {
        *(
            "--onnx_path",
            "--output_path",
            "--quantize_mode",
            "--calibration_data_path",
            "--calibration_shapes",
            "--high_precision_dtype",
        ),
        *("--direct_io_types", "--opset", "--target_dla"),
    },
}


def words(accelerator: str, build: BuildOptions) -> list[str]:
    return arguments(models((accelerator, 2, 8))[0], build, "engines/x.plan")


@pytest.mark.parametrize("version", ["8.6", "10"])
def test_flags_of_weakly_typed_versions(version: str) -> None:
    build = BuildOptions(version)
    profile = [
        "--minShapes=input:1x3x8x8",
        "--optShapes=input:8x3x8x8",
        "--maxShapes=input:8x3x8x8",
    ]
    common = ["--memPoolSize=workspace:1024", "--skipInference", "--saveEngine=engines/x.plan"]
    assert words("cuda", build) == [
        "--onnx=networks/small.onnx",
        *profile,
        "--noTF32",
        "--maxAuxStreams=0",
        *common,
    ]
    assert words("tensor", build) == [
        "--onnx=networks/small.onnx",
        *profile,
        "--fp16",
        "--maxAuxStreams=0",
        *common,
    ]
    assert words("dla1", build) == [
        "--onnx=networks/dla/small.b8.onnx",
        *("--int8", "--fp16", "--useDLACore=1", "--allowGPUFallback"),
        *("--profilingVerbosity=detailed", "--exportLayerInfo=layers/small_dla1.json"),
        *(
            "--memPoolSize=workspace:1024,dlaSRAM:1",
            "--skipInference",
            "--saveEngine=engines/x.plan",
        ),
    ]
    assert "--int8" in words("tensor", BuildOptions(version, tensor_precision="int8"))
    assert "--int8" not in words("dla0", BuildOptions(version, dla_precision="fp16"))


def test_version_11_has_no_precision_flags_and_takes_prepared_networks() -> None:
    for precision in ("fp16", "int8"):
        build = BuildOptions("11", tensor_precision=precision, dla_precision=precision)
        for accelerator in ("cuda", "tensor", "dla0"):
            assert not {"--fp16", "--int8", "--best", "--stronglyTyped"} & set(
                words(accelerator, build)
            )
            assert not any(word.startswith("--calib") for word in words(accelerator, build))
        assert words("cuda", build)[0] == "--onnx=networks/small.onnx"
        assert "--noTF32" in words("cuda", build)
        assert words("tensor", build)[0] == f"--onnx=prepared/small.{precision}.onnx"
        assert preparation(models(("cuda", 1, 1))[0], build) == []
    (dla,) = models(("dla0", 1, 1))
    told = preparation(dla, BuildOptions("11", dla_precision="fp16"))
    assert told[:3] == ["python3", "-m", "modelopt.onnx.autocast"]
    assert {
        "--low_precision_type=fp16",
        "--keep_io_types",
        "--output_path=prepared/small.dla-b1-fp16.onnx",
    } <= set(told)
    told = preparation(dla, BuildOptions("11"))
    assert told[2] == "modelopt.onnx.quantization"
    assert {"--target_dla", "--output_path=prepared/small.dla-b1-int8.onnx"} <= set(told)
    (tensor,) = models(("tensor", 1, 1))
    assert "--target_dla" not in preparation(tensor, BuildOptions("11", tensor_precision="int8")), (
        "it costs accuracy, and a GPU has no use for it"
    )


@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("accelerator", ["tensor", "dla0"])
def test_the_converter_knows_each_option(precision: str, accelerator: str, tmp_path: Path) -> None:
    data = tmp_path / "inputs.npz"
    data.write_bytes(b"PK")
    (model,) = models((accelerator, 1, 4))
    told = preparation(model, BuildOptions("11", precision, precision, calibration=(data,)))
    assert {word.partition("=")[0] for word in told[3:]} <= MODELOPT[told[2]]


def test_calibration_goes_where_int8_is(tmp_path: Path) -> None:
    cache, data = tmp_path / "my cache", tmp_path / "inputs.npz"
    cache.write_bytes(b"TRT-8601-EntropyCalibration2\n")
    data.write_bytes(b"PK")
    found = models(("tensor", 1, 4), ("dla0", 1, 4))
    build = BuildOptions("10", calibration=(cache,))
    tensor, dla = (arguments(model, build, "p") for model in found)
    assert "--calib=calibration/small.cache" in dla
    assert not any(word.startswith("--calib") for word in tensor)
    assert "calibration/small.cache" in export_trtexec(found, build)
    assert "--calibration_data_path=calibration/small.npz" in preparation(
        found[1], BuildOptions("11", calibration=(data,))
    )
    with pytest.raises(OptionError, match="TensorRT 11 has no calibration caches"):
        BuildOptions("11", calibration=(cache,))
    with pytest.raises(OptionError, match="there is no file nowhere"):
        BuildOptions(calibration=(Path("nowhere"),))


def test_a_dla_gets_the_graph_that_was_measured_on_it(small_onnx: Path, tmp_path: Path) -> None:
    # The file is at the batch of the DLA and gives the same answers; the GPU gets the original.
    slots = [Slot(None, "tensor", 1, 8), Slot(None, "dla0", 1, 4), Slot(None, "dla1", 1, 4)]
    found = models_of(*placed(slots, workload_of([read_network(small_onnx)])), [small_onnx])
    write_folder(tmp_path / "out", export_trtexec(found, BuildOptions()), {})
    networks = tmp_path / "out" / "networks"
    assert sorted(str(each.relative_to(networks)) for each in networks.rglob("*.onnx")) == [
        "dla/small.b4.onnx",
        "small.onnx",
    ]
    kinds = {node.op_type for node in onnx.load(networks / "dla" / "small.b4.onnx").graph.node}
    assert "GlobalAveragePool" in {
        node.op_type for node in onnx.load(networks / "small.onnx").graph.node
    }
    assert "AveragePool" in kinds
    assert not {"GlobalAveragePool", "Flatten", "Reshape", "Gemm"} & kinds
    sessions = [
        onnxruntime.InferenceSession(networks / name, providers=["CPUExecutionProvider"])
        for name in ("small.onnx", "dla/small.b4.onnx")
    ]
    assert [list(each.shape) for each in sessions[1].get_inputs()] == [[4, 3, 48, 48]]
    given = {"input": np.random.default_rng(0).random((4, 3, 48, 48), dtype=np.float32)}
    plain, prepared = (np.asarray(session.run(None, given)[0]) for session in sessions)
    assert prepared.reshape(plain.shape) == pytest.approx(plain, abs=1e-5)


def test_a_file_with_a_fixed_batch_gets_no_shapes(tmp_path: Path) -> None:
    path = write_relu(tmp_path / "fixed.onnx", (4, 3, 8, 8), name="a,b")
    found = models_of(
        *placed([Slot(None, "tensor", 1, 4)], workload_of([read_network(path)])), [path]
    )
    assert not any("Shapes" in word for word in arguments(found[0], BuildOptions(), "p"))


@pytest.mark.parametrize("name", ["a,b", "it's"])
def test_an_input_that_trtexec_cannot_name_is_refused(name: str) -> None:
    """trtexec splits shapes at commas and drops single quotes."""
    (model,) = models(("tensor", 1, 4), of=network(inputs=(TensorSpec(name, (3,), "float32"),)))
    with pytest.raises(NetworkError, match="has a name that trtexec cannot read"):
        arguments(model, BuildOptions(), "p")


@pytest.mark.parametrize("target", ["cpu_fp32", "cpu_int8"])
def test_a_processor_has_no_engines(target: str) -> None:
    with pytest.raises(OptionError, match=f"the configuration uses {target}: give --target triton"):
        export_trtexec(models((target, 1, 1)), BuildOptions())


@pytest.mark.parametrize("name", [name for name in NASTY if name and not set(name) & set(",'")])
def test_a_real_shell_gives_trtexec_what_was_meant(name: str, tmp_path: Path) -> None:
    """Names of tensors reach the command as they are; names of networks become plain ones."""
    path = write_relu(tmp_path / "net.onnx", name=name)
    read = read_network(path, name)
    slots = [Slot(None, "cuda", 1, 2), Slot(None, "tensor", 2, 8), Slot(None, "dla0", 1, 4)]
    found = models_of(*placed(slots, workload_of([read])), [path])
    build = BuildOptions()
    write_folder(tmp_path / "inside" / "out", export_trtexec(found, build), {})
    folder = tmp_path / "inside" / "out"
    assert run(folder) == [arguments(model, build, f"engines/{model.name}.plan") for model in found]
    assert all((folder / "engines" / f"{model.name}.plan").is_file() for model in found)
    assert not list(tmp_path.rglob("pwned"))
    assert {each.name for each in (tmp_path / "inside").iterdir()} == {"out", "recorder", "record"}


def test_version_11_prepares_each_network_once(tmp_path: Path) -> None:
    # A module of its name stands in for the converter; an existing file is not made again.
    path = write_relu(tmp_path / "net.onnx")
    found = models_of(
        *placed(
            [Slot(None, "tensor", 1, 4), Slot(None, "dla0", 1, 4), Slot(None, "dla1", 1, 4)],
            workload_of([read_network(path)]),
        ),
        [path],
    )
    build = BuildOptions("11", dla_precision="int8")
    write_folder(tmp_path / "out", export_trtexec(found, build), {})
    for module in ("autocast", "quantization"):
        stand_in = tmp_path / "modelopt" / "onnx" / f"{module}.py"
        stand_in.parent.mkdir(parents=True, exist_ok=True)
        stand_in.write_text(
            "import sys\n"
            "[out] = [a.partition('=')[2] for a in sys.argv if a.startswith('--output_path=')]\n"
            "with open(out, 'a') as f: f.write('x')\n"
        )
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "python3").symlink_to(sys.executable)
    environment = {"PATH": f"{bin_folder}:/usr/bin:/bin", "PYTHONPATH": str(tmp_path)}
    for _ in range(2):
        assert len(run(tmp_path / "out", environment)) == 3
    prepared = {each.name: each.read_text() for each in (tmp_path / "out" / "prepared").iterdir()}
    assert prepared == {"net.fp16.onnx": "x", "net.dla-b4-int8.onnx": "x"}


@settings(max_examples=60, deadline=None)
@given(configured(("cuda", "tensor", "dla0", "dla1")), st.sampled_from(["10", "11"]))
def test_a_script_is_sound_for_every_configuration(found: list[Model], version: str) -> None:
    """One line a plan; and bash takes it."""
    build = BuildOptions(version)
    try:
        text = script(found, build, {model.name: f"engines/{model.name}.plan" for model in found})
    except NetworkError:
        assert any(set(spec.name) & set(",'") for model in found for spec in model.inputs)
        return
    assert len(re.findall(r"--saveEngine=engines/[A-Za-z0-9_.-]+\.plan", text)) >= len(found)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=100)), max_size=8))
def test_names_become_plain_and_stay_different(given_names: list[str]) -> None:
    found = safe_names(given_names)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) for name in found)
    assert len({name.lower() for name in found}) == len(given_names)
