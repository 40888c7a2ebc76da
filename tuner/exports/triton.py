"""A model repository of NVIDIA Triton Inference Server: one model for each tenant and accelerator.

Sources: triton-inference-server/common, protobuf/model_config.proto;
triton-inference-server/tensorrt_backend, src/model_state.cc (completing a configuration by itself
loads the plan without a DLA core) and src/tensorrt_utils.cc (batching wants a free first
dimension); README of triton-inference-server/onnxruntime_backend (threads).
"""

import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Union

from envs.accuracy.store import quantized
from envs.errors import NetworkError
from envs.runtimes.serving.placement import threads_of
from envs.spec import TensorSpec
from tuner.exports.checks import check_types
from tuner.exports.engines import BuildOptions, engine_dtype
from tuner.exports.folder import Content, Files
from tuner.exports.mapped import parts_of
from tuner.exports.models import Model, dla_outputs, network_of
from tuner.exports.readme import advice, listed, page, ranges
from tuner.exports.trtexec import script, sources

#: Triton's types by NumPy's names.
DTYPES = {
    "bool": "TYPE_BOOL",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "bfloat16": "TYPE_BF16",
    **{
        f"{sign}int{bits}": f"TYPE_{sign.upper()}INT{bits}"
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}


class Symbol(str):
    """The value of an enumeration, which is written without quotes."""


#: The shape of a tensor.
Shape = tuple[int, ...]

#: A message of protobuf: fields by name; a list of messages is a repeated field.
Message = dict[str, "Value"]
Value = Union[str, int, tuple[int, ...], Message, list[Message]]


def text_of(message: Message, indent: str = "") -> str:
    """Return a message in protobuf's text format.

    See protobuf.dev, "Text Format Language Specification".
    """
    return "".join(
        f"{indent}{line}\n" for key, value in message.items() for line in _lines(key, value)
    )


def _lines(key: str, value: Value) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _lines(key, each)
    elif isinstance(value, dict):
        yield f"{key} {{"
        yield from text_of(value, "  ").splitlines()
        yield "}"
    elif isinstance(value, tuple):
        yield f"{key}: [{', '.join(map(str, value))}]"
    else:
        yield f"{key}: {value if isinstance(value, (int, Symbol)) else quoted(value)}"


def quoted(text: str) -> str:
    """Return any text as a string literal of printable ASCII."""
    plain = (
        chr(byte) if 32 <= byte < 127 and byte not in b"\"'\\" else f"\\{byte:03o}"
        for byte in text.encode("utf-8", "replace")
    )
    return f'"{"".join(plain)}"'


def config_of(
    model: Model,
    build: BuildOptions,
    max_wait_ms: float,
    threads: int,
    inside: Mapping[str, Shape] | None = None,
) -> Message:
    """Return the whole ModelConfig of one model, so that the server need not complete it.

    Args:
        model: the model.
        build: how engines are built.
        max_wait_ms: how long a request waits for its batch to fill.
        threads: of each instance on a processor.
        inside: shapes of outputs in the engine, where a client sees others.
    """
    # A static model takes no other batch, and Triton cannot split an output without a batch: for
    # Triton these are models without batching.
    batching = not (model.static or model.has_shared)
    config: Message = {
        "name": model.name,
        "platform": "onnxruntime_onnx" if model.on_cpu else "tensorrt_plan",
        "max_batch_size": model.batch if batching else 0,
        "input": [_tensor(spec, model, build) for spec in model.inputs],
        "output": [
            _tensor(spec, model, build, (inside or {}).get(spec.name)) for spec in model.outputs
        ],
        "instance_group": [_group(model)],
    }
    if batching and model.batch > 1:
        config["dynamic_batching"] = {
            "preferred_batch_size": (model.batch,),
            "max_queue_delay_microseconds": round(max_wait_ms * 1000),
        }
    if model.on_cpu:
        config["parameters"] = [
            {"key": "intra_op_thread_count", "value": {"string_value": str(threads)}}
        ]
    return config


def _group(model: Model) -> Message:
    group: Message = {
        "name": model.name,
        "kind": Symbol("KIND_CPU" if model.on_cpu else "KIND_GPU"),
        "count": model.instances,
    }
    if not model.on_cpu:
        group["gpus"] = (0,)
    if model.dla_core is not None:
        group["secondary_devices"] = [{"kind": Symbol("KIND_NVDLA"), "device_id": model.dla_core}]
    return group


def _tensor(
    spec: TensorSpec, model: Model, build: BuildOptions, inside: Shape | None = None
) -> Message:
    dtype = spec.dtype if model.on_cpu else engine_dtype(spec, build, model)
    if dtype not in DTYPES:
        raise NetworkError(
            f"{str(model.path)!r}: {spec.name!r} holds {dtype}, which Triton does not take: export"
            " it as float32"
        )
    if model.static or spec.shared:
        shape = spec.shape
    else:
        shape = (-1, *spec.shape[1:]) if model.has_shared else spec.shape[1:]
    dims = shape or (1,)  # for Triton one number is a vector of length 1 that is reshaped
    tensor: Message = {"name": spec.name, "data_type": Symbol(DTYPES[dtype]), "dims": dims}
    inside = shape if inside is None else inside
    return tensor if inside == dims else tensor | {"reshape": {"shape": inside} if inside else {}}


def export_triton(
    models: list[Model], build: BuildOptions, max_wait_ms: float, cores: int, cache: Path
) -> Files:
    """Return a folder with models/, the model repository, and a script that builds its plans.

    Args:
        models: to serve.
        build: how engines are built.
        max_wait_ms: how long a request waits for its batch to fill.
        cores: of the computer that serves; `envs.runtimes.serving.placement` says how the instances
            share them.
        cache: folder of quantised graphs.

    Raises:
        NetworkError: Triton, TensorRT or trtexec cannot take a network.
    """
    check_types(models, build)
    engines = [model for model in models if not model.on_cpu]
    hosted = sum(model.instances for model in models if model.on_cpu)
    threads = min(threads_of(cores, hosted)) if hosted else 1
    files: Files = {}
    for model in models:
        inside = None if model.dla_core is None else dla_outputs(model)
        files[f"models/{model.name}/config.pbtxt"] = text_of(
            config_of(model, build, max_wait_ms, threads, inside)
        )
        files[f"models/{model.name}/1"] = None
        if model.on_cpu:
            files[f"models/{model.name}/1/model.onnx"] = _graph(model, build, cache)
    if engines:
        plans = {model.name: f"models/{model.name}/1/model.plan" for model in engines}
        files |= {**sources(engines, build), "build.sh": script(engines, build, plans)}
    return files | {"README.txt": _readme(models, engines, build)}


def _graph(model: Model, build: BuildOptions, cache: Path) -> Content:
    if build.needs_ranges(model):
        made = build.calibrated.get(model.name)
        file = made.file if made else quantized(model.path, model.network, cache).path
        assert file is not None, "a processor's calibration has a file"
        return partial(shutil.copyfile, file)
    return network_of(model.path)


def _readme(models: list[Model], engines: list[Model], build: BuildOptions) -> str:
    parts = [
        "A Triton model repository of a tuned configuration, written by python -m tuner.export"
        " --target triton.",
        listed(models),
        *ranges(models, build),
    ]
    if engines:
        parts += [
            "1. Build the plans. Where Triton runs in a container, do it inside: its TensorRT must"
            " read them.",
            "     ./build.sh",
        ]
        parts += advice(engines, build)
    parts += [
        f"{'2' if engines else '1'}. Start the server. The configurations are whole; were Triton to"
        " complete them, it would load a DLA's plan without its core.",
        "     tritonserver --model-repository=models --disable-auto-complete-config",
    ]
    if len(models) > len({model.position for model in models}):
        parts.append(
            "Triton does not choose between models. Where a tenant has several, the client chooses:"
            " keep about instances x batch requests open at each of its models, and send the next"
            " one to the model that has answered."
        )
    if any(parts_of(model) for model in models):
        parts.append(
            "Where a network is divided among accelerators, its plan holds the division:"
            " config.pbtxt names the DLA core and can say no more, and Triton does not check it."
        )
    if any(model.static for model in models):
        parts.append(
            "A model with max_batch_size 0 takes requests of exactly its batch, the first of its"
            " dims: fill up shorter ones."
        )
    if any(model.has_shared and not model.static for model in models):
        parts.append(
            "A model whose dims begin with -1 has an output without a batch, so Triton cannot put"
            " requests together: send as many samples as its batch in one request."
        )
    return page(*parts)
