"""Give the dynamic inputs of an ONNX file the sizes and values that were asked for by name."""

import hashlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs.errors import NetworkError, OptionError
from envs.files import replacing
from envs.graph.batch_rules import as_text, declared, forget_negative_sizes, served_inputs
from envs.graph.binding_options import parse_shapes, parse_values
from envs.graph.folding import MAX_KEPT_ELEMENTS, LoadingError, folded
from envs.graph.onnx_file import (
    MAX_MESSAGE_BYTES,
    every_graph,
    external_files,
    load_weights,
    open_model,
)
from envs.optional import optional_import

#: Part of the key of a copy: raise it when copies are made in another way.
VERSION = 1


def bound(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    values: Mapping[str, float | int],
    cache: Path,
) -> Path:
    """Write a copy of an ONNX file whose named inputs have these shapes or values.

    The batch stays free where the first dimension of the file is free. An input with a value
    becomes a constant, and a branch that this decides is taken. Weights in other files are put into
    the copy if it stays below 2 GB, and are copied beside it otherwise.

    Args:
        path: the ONNX file.
        shapes: whole shapes by name of the input; the first size is 1 where the batch is free.
        values: numbers by name of the input.
        cache: the folder for copies; the same call finds its copy there.

    Returns:
        The copy, which has the name of the file; the file itself if nothing is named.

    Raises:
        OptionError: the file has no such input, or a shape or value does not fit it.
        NetworkError: as `open_model`.
        StorageError: the copy cannot be written.
        DependencyError: onnx or onnxruntime is not installed.
    """
    if not shapes and not values:
        return path
    model, sha256, _ = open_model(path)
    inputs = {value.name: value for value in served_inputs(model)}
    for option, named in (("shape", shapes), ("fix", values)):
        for name in named:
            if name not in inputs:
                raise OptionError(
                    f"{option}={name}: {path} has no input of this name; "
                    f"its inputs are {', '.join(map(str, inputs))}"
                )
    for name in shapes.keys() & values.keys():
        raise OptionError(f"fix={name}: shape names this input too: give its value or its shape")
    changes = {name: _sizes(name, declared(inputs[name]), shape) for name, shape in shapes.items()}
    tensors = [_tensor(inputs[name], value) for name, value in values.items()]
    key = json.dumps([VERSION, sha256, sorted(shapes.items()), sorted(values.items())])
    target = cache / "bound" / hashlib.sha256(key.encode()).hexdigest()[:32] / path.name
    if target.is_file() and not target.is_symlink():
        return target
    apart = _load_if_small(model, path)
    _set_sizes(model, inputs, changes, values)
    _set_values(model, tensors)
    _write(_without_branches(model) if tensors else model, path, target, apart)
    return target


def all_bound(
    paths: Sequence[Path], shapes: Sequence[str], values: Sequence[str], cache: Path
) -> list[Path]:
    """Return the files of several networks, bound by the options `shape` and `fix`.

    Each name counts for every file that has an input of that name.

    Args:
        paths: ONNX files.
        shapes: texts of the option `shape`, see `parse_shapes`.
        values: texts of the option `fix`, see `parse_values`.
        cache: the folder for copies.

    Raises:
        OptionError: no file has an input of a name; besides the errors of `bound`.
    """
    sizes, numbers = parse_shapes(list(shapes)), parse_values(list(values))
    if not sizes and not numbers:
        return list(paths)
    named = [{str(value.name) for value in served_inputs(open_model(path)[0])} for path in paths]
    for option, given in (("shape", sizes), ("fix", numbers)):
        for name in given:
            if not any(name in each for each in named):
                inputs = ", ".join(sorted(set().union(*named)))
                raise OptionError(
                    f"{option}={name}: no network has an input of this name; there are {inputs}"
                )
    return [
        bound(
            path,
            {name: size for name, size in sizes.items() if name in inputs},
            {name: number for name, number in numbers.items() if name in inputs},
            cache,
        )
        for path, inputs in zip(paths, named, strict=True)
    ]


def _sizes(
    name: str, present: tuple[int | str | None, ...] | None, shape: tuple[int, ...]
) -> tuple[int | str, ...]:
    """Return the shape to write; a free batch keeps its name.

    Raises:
        OptionError: the file has other sizes.
    """
    option = f"shape={name}:{'x'.join(map(str, shape))}"
    present = (None,) * len(shape) if present is None else present
    if len(present) != len(shape):
        raise OptionError(
            f"{option} has {len(shape)} sizes, but this input has {len(present)} dimensions "
            f"({as_text(present)}): name them all"
        )
    for axis, (size, asked) in enumerate(zip(present, shape, strict=True)):
        if isinstance(size, int) and size != asked:
            raise OptionError(
                f"{option}: dimension {axis} of this input is {size} in the file "
                f"({as_text(present)}): name the same"
            )
    first, *rest = present[0], *shape[1:]
    if not isinstance(first, int) and shape[0] != 1:
        raise OptionError(
            f"{option}: the first dimension is the batch, which stays free: "
            f"name a 1 there and choose batch sizes with batches=[{shape[0]}]"
        )
    return (first if first is not None else "batch", *rest)


def _tensor(value: Any, number: float | int) -> Any:
    """Return the TensorProto of an input that becomes a constant."""
    onnx = optional_import("onnx", "networks")
    option, shape = f"fix={value.name}:{number:g}", declared(value)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    sizes = [size for size in shape or () if isinstance(size, int)]
    if len(sizes) != len(shape or ()):
        raise OptionError(
            f"{option}: this input has free dimensions ({as_text(shape or ())}), so that one "
            "number does not say what it holds: name its shape, or export the network without it"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # beyond 64 bits numpy takes no whole number
        array = np.full(sizes, number if abs(number) < 2**63 else float(number)).astype(dtype)
    if dtype.kind not in "fV" and not (math.isfinite(number) and np.all(array == number)):
        raise OptionError(f"{option}: this input holds {dtype.name}, which has no such number")
    return onnx.numpy_helper.from_array(array, value.name)


def _set_sizes(
    model: Any,
    inputs: Mapping[str, Any],
    changes: Mapping[str, tuple[int | str, ...]],
    values: Mapping[str, float | int],
) -> None:
    """Write the sizes of inputs; another input with a dimension of the same name takes its size."""
    named: dict[str, set[int]] = {}
    for name, sizes in changes.items():
        for old, new in zip(declared(inputs[name]) or (), sizes, strict=False):
            if isinstance(old, str) and isinstance(new, int):
                named.setdefault(old, set()).add(new)
    same = {symbol: sizes.pop() for symbol, sizes in named.items() if len(sizes) == 1}
    for name, value in inputs.items():
        shape = value.type.tensor_type.shape
        if name in changes:
            del shape.dim[:]
            for size in changes[name]:
                shape.dim.add(**{"dim_value" if isinstance(size, int) else "dim_param": size})
        elif name not in values:
            for axis, size in enumerate(shape.dim):
                if axis and size.dim_param in same:
                    size.dim_value = same[size.dim_param]
    del model.graph.value_info[:]
    forget_negative_sizes(model)


def _set_values(model: Any, tensors: list[Any]) -> None:
    names = {tensor.name for tensor in tensors}
    if model.ir_version >= 4:  # an initializer that is an input too could be given another value
        kept = [value for value in model.graph.input if value.name not in names]
        del model.graph.input[:]
        model.graph.input.extend(kept)
    model.graph.initializer.extend(tensors)


def _without_branches(model: Any) -> Any:
    """Return the model without the branches that its constants decide against."""
    if not any(node.op_type == "If" for graph in every_graph(model) for node in graph.node):
        return model
    if model.functions:
        model = optional_import("onnx.inliner", "networks").inline_local_functions(model)
    try:
        return folded(model)
    except LoadingError:  # whoever serves the copy says why it cannot be loaded
        return model


def _load_if_small(model: Any, path: Path) -> list[Path]:
    """Take the weights in other files into the model.

    If they are too large together, only small ones are taken; then return their files.
    """
    files = external_files(model, path)
    if model.ByteSize() + sum(file.stat().st_size for file in files) > MAX_MESSAGE_BYTES:
        load_weights(model, path, MAX_KEPT_ELEMENTS)
        return files
    load_weights(model, path)
    return []


def _write(model: Any, path: Path, target: Path, apart: list[Path]) -> None:
    """Write the copy, after the files of weights that stay beside it."""
    for file in apart:
        beside = target.parent / file.relative_to(path.parent.resolve())
        with replacing(beside) as copy, file.open("rb") as source:
            shutil.copyfileobj(source, copy)
    try:
        content = model.SerializeToString()
    except ValueError as error:
        raise NetworkError(f"{path} has more than 2 GB without its weights: {error}") from error
    with replacing(target) as copy:
        copy.write(content)
