"""Samples of users: their types, and what is made of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.accuracy.samples import CALIBRATING, JUDGING, Samples, invented, positive, read_samples
from envs.errors import OptionError
from envs.spec import Network, TensorSpec
from tests.envs.accuracy.graphs import network, npz


def of_type(kind: str) -> Network:
    return network(TensorSpec("x", (1,), kind))


@pytest.mark.parametrize(
    ("kind", "values", "held"),
    [
        ("float32", np.array([[0], [255]], np.uint8), [0, 255]),
        ("float32", np.array([[0], [3]], np.int64), [0, 3]),
        ("float32", np.array([[True], [False]]), [1, 0]),
        ("float16", np.array([[0.1], [65000.0]]), [np.float16(0.1), np.float16(65000)]),
        ("uint8", np.array([[0.0], [255.0]]), [0, 255]),
        ("int32", np.array([[-5], [2**31 - 1]], np.int64), [-5, 2**31 - 1]),
        ("bool", np.array([[0], [1]]), [False, True]),
        ("float64", np.array([[0.5], [1]], np.float32), [0.5, 1]),
        ("float16", np.array([[0.5], [1]], np.float16), [0.5, 1]),
    ],
)
def test_values_are_converted_where_that_changes_nothing(
    tmp_path: Path, kind: str, values: Any, held: list[float]
) -> None:
    found = read_samples(npz(tmp_path / "s.npz", x=values), of_type(kind)).arrays["x"]
    assert found.dtype == np.dtype(kind)
    assert found[:, 0].tolist() == held


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("uint8", np.array([[0.5], [1]])),
        ("uint8", np.array([[256.0], [1]])),
        ("uint8", np.array([[-1], [1]])),
        ("int32", np.array([[2**31], [1]])),
        ("int64", np.array([[2**63], [1]], np.uint64)),
        ("int64", np.array([[1e30], [1]])),
        ("bool", np.array([[2], [1]])),
        ("float16", np.array([[1e5], [1]])),
        ("int8", np.array([[200], [1]], np.uint8)),
    ],
)
def test_values_that_the_input_cannot_hold_are_refused(
    tmp_path: Path, kind: str, values: Any
) -> None:
    path = npz(tmp_path / "s.npz", x=values)
    with pytest.raises(OptionError, match=f"that {kind}, the type of the input, cannot hold"):
        read_samples(path, of_type(kind))


@given(count=st.integers(2, 2000))
def test_no_sample_calibrates_and_judges(count: int) -> None:
    samples = Samples({"x": np.arange(count)}, "given.npz", count)
    calibrating, judging = samples.split()
    first, second = (set(each.arrays["x"].tolist()) for each in (calibrating, judging))
    assert not first & second
    assert 1 <= len(first) == len(calibrating) <= CALIBRATING
    assert 1 <= len(second) == len(judging) <= JUDGING
    assert len(first | second) == count or len(first) == CALIBRATING
    assert not calibrating.synthetic
    again = samples.split()
    assert [each.sha256 for each in again] == [calibrating.sha256, judging.sha256]


@given(count=st.integers(1, 50), batch=st.integers(1, 12), exact=st.booleans())
def test_feeds_hold_every_sample_once_in_order(count: int, batch: int, exact: bool) -> None:
    samples = Samples({"x": np.arange(count), "y": -np.arange(count)}, "given.npz")
    feeds = list(samples.feeds(batch, exact))
    assert all(len(feed["x"]) == batch for feed in (feeds if exact else feeds[:-1]))
    together = np.concatenate([feed["x"] for feed in feeds])
    assert together[:count].tolist() == list(range(count))
    assert len(together) == (-(-count // batch) * batch if exact else count)
    assert all(np.array_equal(feed["x"], -feed["y"]) for feed in feeds)


def test_what_is_invented_says_so_and_fits_the_types() -> None:
    kinds = ["float32", "float16", "float64", "int8", "uint8", "int64", "bool"]
    made = network(*(TensorSpec(kind, (50,), kind) for kind in kinds))
    for make in (invented, positive):
        samples = make(made, 20)
        assert samples.synthetic
        assert {kind: samples.arrays[kind].dtype.name for kind in kinds} == {k: k for k in kinds}
        assert samples.sha256 == make(made, 20).sha256 != make(made, 20, seed=1).sha256
        assert samples.arrays["uint8"].max() > 200
        assert samples.arrays["int8"].min() < -100
        assert set(np.unique(samples.arrays["int64"])) == {0, 1}
    assert (invented(made, 20).arrays["float32"] < 0).any()
    numbers = positive(made, 20).arrays["float32"]
    assert numbers.min() >= 0
    assert numbers.max() < 1


def test_hash_is_of_names_types_shapes_and_contents() -> None:
    arrays = [
        {"x": np.arange(4)},
        {"y": np.arange(4)},
        {"x": np.arange(4).astype(np.int32)},
        {"x": np.arange(4).reshape(2, 2)},
        {"x": np.arange(4)[::-1]},
    ]
    assert len({Samples(each).sha256 for each in arrays}) == len(arrays)
    assert re.fullmatch("[0-9a-f]{64}", Samples(arrays[-1]).sha256)
    assert Samples({"x": np.arange(4)[::-1].copy()}).sha256 == Samples(arrays[-1]).sha256
