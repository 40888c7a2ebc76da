"""Command lines of trtexec, one for each engine, as a shell script.

Sources: NVIDIA/TensorRT, samples/common/sampleOptions.cpp (flags, and how shapes are read); TensorRT documentation, "Migrating trtexec Usage from
TensorRT 10.x to 11.x", "Working with DLA", "Strongly Typed Networks for DLA"; NVIDIA/Deep-Learning-Accelerator-SW, README (a DLA's command line);
TensorRT Model Optimizer, "ONNX Quantization".
"""

from __future__ import annotations

import shlex
from pathlib import Path

from envs.errors import NetworkError
from tuner.exports.engines import BuildOptions, check_places, engine_dtype
from tuner.exports.folder import Files, copy_of
from tuner.exports.models import Model, dla_network_of, network_of
from tuner.exports.readme import advice, listed, page


def arguments(model: Model, build: BuildOptions, plan: str) -> list[str]:
    """What trtexec gets to build one engine into `plan`; paths are inside the export's folder."""
    for spec in (*model.inputs, *model.outputs):
        engine_dtype(spec, build, model)
    pools = f"workspace:{build.workspace_mib}"
    words = [f"--onnx={source(model, build)}", *_shapes(model), *_precision(model, build)]
    if model.dla_core is None:
        # Without this TensorRT may run one context on several streams, and a number of instances is not what it says any more.
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
    """The ONNX file that an engine is built from: for TensorRT 11 one that holds the precision itself."""
    precision = build.precision(model)
    if not build.strongly_typed or precision == "fp32":
        return original(model)
    return f"prepared/{model.graph}.{f'dla-b{model.batch}-' if model.dla_core is not None else ''}{precision}.onnx"


def original(model: Model) -> str:
    """The network as it is; for a DLA, at its batch and without what no DLA takes."""
    return (
        f"networks/{model.graph}.onnx"
        if model.dla_core is None
        else f"networks/dla/{model.graph}.b{model.batch}.onnx"
    )


def layers(model: Model) -> str:
    return f"layers/{model.name}.json"


def calibration_name(model: Model, file: Path) -> str:
    """Inside the folder; a cache of TensorRT up to 10 has no suffix of its own."""
    return (
        f"calibration/{model.graph}{file.suffix if file.suffix in ('.npy', '.npz') else '.cache'}"
    )


def _precision(model: Model, build: BuildOptions) -> list[str]:
    precision = build.precision(model)
    if precision == "fp32":
        return ["--noTF32"]
    if build.strongly_typed:
        return []
    # A layer without ranges stays in FP16: on a DLA nothing else is legal, on Tensor Cores FP32 would be slower.
    words = ["--fp16"] if precision == "fp16" else ["--int8", "--fp16"]
    file = _calibration(model, build)
    return (
        [*words, f"--calib={calibration_name(model, file)}"]
        if precision == "int8" and file
        else words
    )


def _calibration(model: Model, build: BuildOptions) -> Path | None:
    return build.calibration_of(model.position)


def _shapes(model: Model) -> list[str]:
    """A profile from one sample to the batch; none where the file is fixed, as for a DLA, which trtexec insists on."""
    if model.static:
        return []
    for spec in model.inputs:
        if set(spec.name) & set(",'\0"):
            raise NetworkError(
                f"{str(model.path)!r}: the input {spec.name!r} has a name that trtexec cannot read: export it with a plain one"
            )
    sizes = (("min", 1), ("opt", model.batch), ("max", model.batch))
    return [
        f"--{word}Shapes={','.join(f'{spec.name}:' + 'x'.join(map(str, (size, *spec.shape[1:]))) for spec in model.inputs)}"
        for word, size in sizes
    ]


def preparation(model: Model, build: BuildOptions) -> list[str]:
    """The command that writes `source` for TensorRT 11 with NVIDIA's Model Optimizer; empty where the original serves."""
    target = source(model, build)
    if target == original(model):
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
        command += ["--target_dla"]  # every tensor gets a scale: what has none would leave the DLA
    file = _calibration(model, build)
    return (
        [*command, f"--calibration_data_path={calibration_name(model, file)}"] if file else command
    )


def script(models: list[Model], build: BuildOptions, plans: dict[str, str]) -> str:
    """A POSIX shell script that builds every engine; `plans` says where each model's goes."""
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
        f"# Builds the engines for TensorRT {build.tensorrt}. Run it on the board that serves, in the power mode it serves in, with nothing else running.",
        "set -eu",
        'cd -- "$(dirname -- "$0")"',
        "TRTEXEC=${TRTEXEC:-$(command -v trtexec || echo /usr/src/tensorrt/bin/trtexec)}",
        f"mkdir -p {shlex.join(folders)}",
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
    """The ONNX files and calibration data that `script` reads."""
    files: Files = {}
    for model in models:
        files[original(model)] = (
            network_of(model.path) if model.dla_core is None else dla_network_of(model)
        )
        file = _calibration(model, build)
        if file and build.precision(model) == "int8":
            files[calibration_name(model, file)] = copy_of(file)
    return files


def export_trtexec(models: list[Model], build: BuildOptions) -> Files:
    """A folder with networks/, and a script that builds engines/.

    Raises:
        OptionError: a model runs on a processor. NetworkError: TensorRT or trtexec cannot take a network.
    """
    check_places("trtexec", models)
    plans = {model.name: f"engines/{model.name}.plan" for model in models}
    title = "Engines of a tuned configuration, written by python -m tuner.export --target trtexec."
    return {
        **sources(models, build),
        "build.sh": script(models, build, plans),
        "README.txt": page(title, listed(models), *advice(models, build)),
    }
