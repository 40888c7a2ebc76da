"""A calibration file is used by an engine, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import OptionError
from envs.graph.number_types import NumberTypes
from envs.spec import TensorSpec
from tests.tuner.exports.samples import models, network
from tuner.exports.calibration import assigned
from tuner.exports.engines import BuildOptions
from tuner.exports.facts import Facts
from tuner.exports.models import Model

QUANTISED = Facts(NumberTypes(quantised=frozenset({"QuantizeLinear"})))


def cache(folder: Path, first: bytes = b"TRT-100300-EntropyCalibration2") -> Path:
    path = folder / "my.cache"
    path.write_bytes(first + b"\ninput: 3c010a14\n")
    return path


def refused(file: Path, found: list[Model], build: BuildOptions | None = None) -> str:
    with pytest.raises(OptionError) as caught:
        assigned([file], 1, found, build or BuildOptions())
    assert str(caught.value).startswith(f"calibration={file}")
    return str(caught.value)


def test_a_file_goes_to_the_network_that_uses_it(tmp_path: Path) -> None:
    path, other = cache(tmp_path), tmp_path / "other"
    other.write_bytes(path.read_bytes())
    int8, fp16 = models(("dla0", 1, 4)), models(("tensor", 1, 4))
    assert assigned([], 1, int8, BuildOptions()) == ()
    assert assigned([path], 1, int8, BuildOptions()) == (path,)
    second = [replaced(each, position=1) for each in int8]
    assert assigned([path, other], 2, [*int8, *second], BuildOptions()) == (path, other)
    assert assigned([path], 2, [*fp16, *second], BuildOptions()) == (None, path)
    with pytest.raises(OptionError, match=f"calibration={path}: 'small' has no INT8 engine"):
        assigned([path, other], 2, [*fp16, *second], BuildOptions())
    with pytest.raises(OptionError, match="has 1 files, and 2 of 2 networks have INT8 engines"):
        assigned([path], 2, [*int8, *second], BuildOptions())


def replaced(model: Model, **changes: Any) -> Model:
    return Model(**(vars(model) | changes))


def test_what_no_engine_would_use_is_refused(tmp_path: Path) -> None:
    path = cache(tmp_path)
    told = refused(path, models(("cuda", 1, 1), ("tensor", 1, 4)))
    assert "no INT8 engine in this configuration (cuda fp32, tensor fp16)" in told
    told = refused(path, models(("tensor", 1, 4), facts=QUANTISED))
    assert "has its INT8 ranges inside" in told
    told = refused(path, models(("cpu_int8", 1, 4)))
    assert "INT8 on cpu_int8 alone, which is calibrated by --samples FILE" in told


@pytest.mark.parametrize(
    ("first", "version", "sentence"),
    [
        (b"\x93NUMPY", "10", "is no calibration cache, whose first line is TRT-VERSION-"),
        (b"TRT-100300-MinMaxCalibration", "10", "is a cache of MinMaxCalibration"),
        (b"TRT-8601-EntropyCalibration2", "10", "of TensorRT 8, and TensorRT 10 would not use it"),
        (b"TRT-100300-EntropyCalibration2", "8.6", "of TensorRT 10, and TensorRT 8.6 would not"),
    ],
)
def test_caches_that_trtexec_would_not_use(
    first: bytes, version: str, sentence: str, tmp_path: Path
) -> None:
    path = cache(tmp_path, first)
    assert sentence in refused(path, models(("dla0", 1, 4)), BuildOptions(version))


@pytest.mark.parametrize(
    ("version", "first"),
    [("8.6", b"TRT-8601-EntropyCalibration2"), ("10", b"TRT-100700-EntropyCalibration2\r")],
)
def test_caches_of_the_version_are_used(version: str, first: bytes, tmp_path: Path) -> None:
    path = cache(tmp_path, first)
    assert assigned([path], 1, models(("dla0", 1, 4)), BuildOptions(version)) == (path,)


def test_arrays_are_for_version_11_and_caches_for_the_others(tmp_path: Path) -> None:
    data = tmp_path / "inputs.npy"
    np.save(data, np.zeros((8, 3, 8, 8), np.float32))
    with pytest.raises(OptionError, match=rf"calibration={data}: .* inputs as --samples {data}"):
        BuildOptions("10", calibration=(data,))
    with pytest.raises(OptionError, match="TensorRT 11 has no calibration caches"):
        BuildOptions("11", calibration=(cache(tmp_path),))
    assert assigned([data], 1, models(("dla0", 1, 4)), BuildOptions("11")) == (data,)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"input": (8, 3, 8, 7)}, "'input' has the shape [8, 3, 8, 7], and the network takes [n,"),
        ({"input": (3, 8, 8)}, "'input' has the shape [3, 8, 8]"),
        ({"input": (0, 3, 8, 8)}, "has the shape [0, 3, 8, 8]"),
        ({"image": (8, 3, 8, 8)}, "holds ['image'], and the inputs are ['input']"),
        ({"input": (6, 3, 8, 8)}, "holds 6 inputs, and on dla0 their number must be a multiple"),
    ],
)
def test_arrays_that_do_not_fit(
    arrays: dict[str, tuple[int, ...]], sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "inputs.npz"
    np.savez(path, **{name: np.zeros(shape, np.float32) for name, shape in arrays.items()})
    found = models(("dla0", 1, 4), ("tensor", 1, 8))
    assert sentence in refused(path, found, BuildOptions("11", tensor_precision="int8"))


def test_every_input_needs_an_array(tmp_path: Path) -> None:
    two = network(inputs=(TensorSpec("a", (2,), "float32"), TensorSpec("b", (3,), "float32")))
    found = models(("dla0", 1, 1), of=two)
    path = tmp_path / "inputs.npz"
    np.savez(path, a=np.zeros((4, 2)), b=np.zeros((4, 3)))
    assert assigned([path], 1, found, BuildOptions("11")) == (path,)
    np.save(tmp_path / "one.npy", np.zeros((4, 2)))
    assert "give an .npz file with one" in refused(tmp_path / "one.npy", found, BuildOptions("11"))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "inputs.npz"
    path.write_bytes(b"PK")
    assert "cannot be read as .npy or .npz" in refused(
        path, models(("dla0", 1, 1)), BuildOptions("11")
    )
