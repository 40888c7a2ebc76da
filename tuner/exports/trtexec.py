"""Command lines of trtexec, one for each engine, as a shell script.

Sources: NVIDIA/TensorRT, samples/common/sampleOptions.cpp (flags, and how shapes are read);
TensorRT documentation, "Migrating trtexec Usage from TensorRT 10.x to 11.x", "Working with DLA",
"Strongly Typed Networks for DLA"; NVIDIA/Deep-Learning-Accelerator-SW, README (a DLA's command
line); TensorRT Model Optimizer, "ONNX Quantization".
"""

import shlex
from functools import partial
from pathlib import Path

from envs.errors import NetworkError
from envs.runtimes.tensorrt.graph import save
from envs.spec import ACCELERATORS, Kind
from tuner.exports.caches import cache_files, calibration_name, version_lines
from tuner.exports.checks import check_no_cpu, check_types
from tuner.exports.engines import BuildOptions, engine_dtype
from tuner.exports.folder import Files
from tuner.exports.mapped import layer_flags, parts_of, write_named
from tuner.exports.models import Model, dla_network_of, network_of
from tuner.exports.readme import advice, listed, page, ranges


def arguments(model: Model, build: BuildOptions, plan: str) -> list[str]:
    """Return the arguments of trtexec that build one engine; paths are inside the folder."""
    for spec in (*model.inputs, *model.outputs):
        engine_dtype(spec, build, model)
    pools = f"workspace:{build.workspace_mib}"
    words = [f"--onnx={source(model, build)}", *_shapes(model), *_precision(model, build)]
    words += layer_flags(model, build)
    if model.dla_core is None:
        # Without this TensorRT may run one context on several streams, and one instance would
        # compete like several.
        words += ["--maxAuxStreams=0"]
    else:
        pools += ",dlaSRAM:1"
        words += [
            f"--useDLACore={model.dla_core}",
            "--allowGPUFallback",
            "--profilingVerbosity=detailed",
            f"--exportLayerInfo={layers(model)}",
        ]
    return [*words, f"--memPoolSize={pools}", "--skipInference", f"--saveEngine={plan}"]


def source(model: Model, build: BuildOptions) -> str:
    """Return the ONNX file of an engine; for TensorRT 11 that file holds the precision itself."""
    if not build.strongly_typed or build.typed_by_file(model):
        return original(model)
    dla = f"dla-b{model.batch}-" if model.dla_core is not None else ""
    return f"prepared/{model.graph}.{dla}{build.precision(model)}.onnx"


def original(model: Model) -> str:
    """Return the file of the network as it is; for a DLA, at its batch and as a DLA takes it.

    Mappings have files of their own, whose nodes have the names of their accelerators.
    """
    if parts_of(model):
        batch = "" if model.dla_core is None else f".b{model.batch}"
        return f"networks/mapped/{model.name}{batch}.onnx"
    return (
        f"networks/{model.graph}.onnx"
        if model.dla_core is None
        else f"networks/dla/{model.graph}.b{model.batch}.onnx"
    )


def layers(model: Model) -> str:
    """Return the file that says where each layer of a DLA engine runs."""
    return f"layers/{model.name}.json"


def _precision(model: Model, build: BuildOptions) -> list[str]:
    words = build.flags(model)
    used = parts_of(model) or (model.accelerator.name,)
    if any(ACCELERATORS[name].kind is Kind.CUDA_CORES for name in used):
        words.append("--noTF32")
    name = calibration_name(model, build)
    if name and not build.strongly_typed:
        words.append(f"--calib={name}")
    return words


def _shapes(model: Model) -> list[str]:
    """Return a profile from one sample to the batch; none for a fixed shape, as trtexec insists."""
    if model.static:
        return []
    for spec in model.inputs:
        if set(spec.name) & set(",'\0"):
            raise NetworkError(
                f"{str(model.path)!r}: the input {spec.name!r} has a name that trtexec cannot read:"
                " export it with a plain one"
            )
    profile = []
    for word, size in (("min", 1), ("opt", model.batch), ("max", model.batch)):
        shapes = ("x".join(map(str, (size, *spec.shape[1:]))) for spec in model.inputs)
        named = (f"{spec.name}:{shape}" for spec, shape in zip(model.inputs, shapes, strict=True))
        profile.append(f"--{word}Shapes={','.join(named)}")
    return profile


def preparation(model: Model, build: BuildOptions) -> list[str]:
    """Return the command of NVIDIA's Model Optimizer that writes `source` for TensorRT 11.

    It is empty where the original serves, or a graph that was quantised here.
    """
    target = source(model, build)
    if target == original(model) or model.name in build.calibrated:
        return []
    command = ["python3", "-m"]
    if build.precision(model) == "fp16":
        command += [
            "modelopt.onnx.autocast",
            f"--onnx_path={original(model)}",
            f"--output_path={target}",
            "--low_precision_type=fp16",
            "--keep_io_types",
        ]
        return [*command, "--opset=20"] if model.dla_core is not None else command
    command += [
        "modelopt.onnx.quantization",
        f"--onnx_path={original(model)}",
        f"--output_path={target}",
        "--quantize_mode=int8",
    ]
    if model.dla_core is not None:
        command += ["--target_dla"]  # gives every tensor a scale; one without would leave the DLA
    name = calibration_name(model, build)
    return [*command, f"--calibration_data_path={name}"] if name else command


def script(models: list[Model], build: BuildOptions, plans: dict[str, str]) -> str:
    """Return a POSIX shell script that builds every engine; `plans` has the path of each."""
    prepared = {source(model, build): preparation(model, build) for model in models}
    folders = sorted(
        {
            str(Path(path).parent)
            for path in (
                *plans.values(),
                *prepared,
                *(layers(each) for each in models if each.dla_core is not None),
            )
        }
    )
    lines = [
        "#!/bin/sh",
        f"# Builds the engines for TensorRT {build.tensorrt}. Run it on the board that serves, in"
        " the power mode it serves in, with nothing else running.",
        "set -eu",
        'cd -- "$(dirname -- "$0")"',
        "TRTEXEC=${TRTEXEC:-$(command -v trtexec || echo /usr/src/tensorrt/bin/trtexec)}",
        f"mkdir -p {shlex.join(folders)}",
        *version_lines(models, build),
        *(
            f"[ -f {shlex.quote(target)} ] || {shlex.join(command)}"
            for target, command in prepared.items()
            if command
        ),
        *(
            f'"$TRTEXEC" {shlex.join(arguments(model, build, plans[model.name]))}'
            for model in models
        ),
    ]
    return "\n".join(lines) + "\n"


def sources(models: list[Model], build: BuildOptions) -> Files:
    """Return the ONNX files and calibration data that `script` reads."""
    files = cache_files(models, build)
    for model in models:
        made = build.calibrated.get(model.name)
        graph = None if made is None else made.graph
        if parts_of(model):
            files[original(model)] = partial(write_named, model, build)
            continue
        if graph is not None and build.strongly_typed:
            files[source(model, build)] = partial(save, graph)
        if graph is not None and not build.strongly_typed:
            files[original(model)] = partial(save, graph)
        elif model.dla_core is not None:
            files[original(model)] = dla_network_of(model)
        else:
            files[original(model)] = network_of(model.path)
    return files


def export_trtexec(models: list[Model], build: BuildOptions) -> Files:
    """Return a folder with networks/, and a script that builds engines/.

    Raises:
        OptionError: a model runs on a processor.
        NetworkError: TensorRT or trtexec cannot take a network.
    """
    check_no_cpu("trtexec", models)
    check_types(models, build)
    plans = {model.name: f"engines/{model.name}.plan" for model in models}
    title = "Engines of a tuned configuration, written by python -m tuner.export --target trtexec."
    return {
        **sources(models, build),
        "build.sh": script(models, build, plans),
        "README.txt": page(title, listed(models), *ranges(models, build), *advice(models, build)),
    }
