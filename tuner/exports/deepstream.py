"""Configuration files of DeepStream's nvinfer, one for each instance.

An nvinfer element is one execution context. Source: DeepStream, gstnvinfer_property_parser.h (keys)
and nvdsinfer_context.h (network-mode 0 FP32, 1 INT8, 2 FP16; network-type 100 is "other").
"""

from envs.errors import NetworkError, OptionError
from tuner.exports.caches import calibration_name
from tuner.exports.checks import check_no_cpu, check_types
from tuner.exports.engines import BuildOptions
from tuner.exports.folder import Files
from tuner.exports.mapped import nvinfer_layers, parts_of
from tuner.exports.models import Model
from tuner.exports.readme import advice, listed, page, ranges
from tuner.exports.trtexec import original, script, sources

#: By precision; nvinfer has no mode for BF16.
MODES = {"fp32": 0, "int8": 1, "fp16": 2}

#: The largest batch nvinfer takes (NVDSINFER_MAX_BATCH_SIZE).
MAX_BATCH = 1024

#: Channels of the pictures that nvinfer makes: grey, RGB or BGR, RGBA.
CHANNELS = (1, 3, 4)


def properties(model: Model, build: BuildOptions, unique_id: int) -> dict[str, str | int]:
    """Return the group [property] of one instance; nvinfer reads paths relative to the file."""
    precision, calibration = build.precision(model), calibration_name(model, build)
    if precision not in MODES:
        raise NetworkError(
            f"{str(model.path)!r}: it holds BF16, for which nvinfer has no network-mode: export it"
            " in FP16 or FP32, or use --target triton"
        )
    found: dict[str, str | int] = {
        "gpu-id": 0,
        "gie-unique-id": unique_id,
        "onnx-file": original(model),
        "model-engine-file": plan_of(model),
        "batch-size": model.batch,
        "network-mode": MODES[precision],
        # Results leave as tensors: their meaning (boxes, classes) is not known here.
        "network-type": 100,
        "output-tensor-meta": 1,
        "process-mode": 1,
        "interval": 0,
        "network-input-order": _order(model),
        "workspace-size": build.workspace_mib,
    }
    if model.dla_core is not None:
        found |= {"enable-dla": 1, "use-dla-core": model.dla_core}
    if calibration and not build.strongly_typed:
        found["int8-calib-file"] = calibration
    if parts_of(model):
        found["layer-device-precision"] = nvinfer_layers(model, build)
    return found


def plan_of(model: Model) -> str:
    """Return the path of the engine of a model."""
    return f"engines/{model.name}.plan"


def _order(model: Model) -> int:
    """Return 0 for [channels, height, width], 1 for [height, width, channels]."""
    shape = model.inputs[0].shape[1:]
    if len(model.inputs) == 1 and len(shape) == 3 and model.inputs[0].dtype == "float32":
        if shape[0] in CHANNELS:
            return 0
        if shape[2] in CHANNELS:
            return 1
    raise NetworkError(
        f"{str(model.path)!r} does not take one float32 picture of 1, 3 or 4 channels, which is"
        " what nvinfer gives: use --target triton"
    )


def export_deepstream(models: list[Model], build: BuildOptions) -> Files:
    """Return a folder with a file for each instance, and a script that builds the engines.

    Raises:
        OptionError: a model runs on a processor, or its batch is too large.
        NetworkError: nvinfer or TensorRT cannot take a network.
    """
    check_no_cpu("deepstream", models)
    check_types(models, build)
    files: Files = {**sources(models, build)}
    unique_id = 0
    for model in models:
        if model.batch > MAX_BATCH:
            raise OptionError(
                f"the batch of {model.batch} on {model.accelerator.name} is above {MAX_BATCH}, the"
                " largest that nvinfer takes"
            )
        for instance in range(model.instances):
            unique_id += 1
            lines = [f"{key}={value}" for key, value in properties(model, build, unique_id).items()]
            files[f"{model.name}_{instance}.txt"] = "\n".join(["[property]", *lines]) + "\n"
    plans = {model.name: plan_of(model) for model in models}
    return {**files, "build.sh": script(models, build, plans), "README.txt": _readme(models, build)}


def _on_mappings(models: list[Model]) -> list[str]:
    if not any(parts_of(model) for model in models):
        return []
    return [
        "nvinfer loads the engines of build.sh. Where it has to build one itself,"
        " layer-device-precision tells it where each layer runs; it then holds every layer to its"
        " precision, and may refuse one that has no INT8 kernel."
    ]


def _readme(models: list[Model], build: BuildOptions) -> str:
    return page(
        "DeepStream nvinfer files of a tuned configuration, written by python -m tuner.export"
        " --target deepstream.",
        listed(models),
        *ranges(models, build),
        "1. Build the engines.",
        "     ./build.sh",
        *advice(models, build),
        *_on_mappings(models),
        "2. Give each file NAME_N.txt to one nvinfer element (config-file-path) on a branch of its"
        " own: an element is an instance, and the elements of one model share its engine file. Give"
        " the nvstreammux of each branch the batch-size of its file: a DLA engine takes no smaller"
        " batch.",
        "Set what only the network's author knows: net-scale-factor, offsets and"
        " model-color-format. Results leave as tensors in the meta data; where nvinfer shall make"
        " boxes or classes of them, set network-type and its parser.",
    )
