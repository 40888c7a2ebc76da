"""Samples of users: every form, what is refused, and what is made of them."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.accuracy.samples import (
    CALIBRATING,
    JUDGING,
    Samples,
    invented,
    positive,
    read_samples,
)
from envs.errors import OptionError
from envs.spec import Network, TensorSpec
from tests.envs.accuracy.graphs import network
from tests.security.attacks import Payload, array_bytes, claiming, little_memory, write_zip

IMAGE = network(TensorSpec("image", (3, 4), "float32"))
TWO = network(TensorSpec("ids", (5,), "int64"), TensorSpec("mask", (5,), "float32"))

PICTURES = np.random.default_rng(0).random((10, 3, 4), np.float32)
IDS, MASK = np.arange(50).reshape(10, 5), np.ones((10, 5), np.float32)


def folder_of(path: Path, **arrays: Any) -> Path:
    path.mkdir()
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return path


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def rows(array: Any) -> set[bytes]:
    return {each.tobytes() for each in array}


@pytest.mark.parametrize(
    "make",
    [
        lambda path: npz(path / "s.npz", image=PICTURES),
        lambda path: npz(path / "s.npz", image=PICTURES, labels=np.arange(10)),
        lambda path: npz(path / "s.npz", X=PICTURES, y=np.arange(10)),
        lambda path: npz(path / "s.npz", X=PICTURES, y=np.arange(10.0), other=PICTURES[:, :2]),
        lambda path: npz(path / "s.npz", image=PICTURES, other=PICTURES[::-1]),
        lambda path: npz(path / "s.npz", X=np.asfortranarray(PICTURES)),
        lambda path: npz(path / "s.zip.npz", X=PICTURES),
        lambda path: (np.save(path / "s.npy", PICTURES), path / "s.npy")[1],
        lambda path: folder_of(path / "s", image=PICTURES),
        lambda path: folder_of(path / "s", image=PICTURES, labels=np.arange(10)),
        lambda path: folder_of(path / "s", **{f"a{i}": each for i, each in enumerate(PICTURES)}),
        lambda path: folder_of(path / "s", a=PICTURES[:4], b=PICTURES[4:]),
        lambda path: folder_of(path / "s", a=PICTURES[:9], b=PICTURES[9]),
    ],
)
def test_every_form_of_one_input(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    found = read_samples(path, IMAGE)
    assert list(found.arrays) == ["image"]
    assert found.arrays["image"].dtype == np.float32
    assert rows(found.arrays["image"]) == rows(PICTURES)
    assert (found.origin, found.total, found.synthetic) == (str(path), 10, False)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: npz(path / "s.npz", mask=MASK, ids=IDS, labels=np.arange(3)),
        lambda path: folder_of(path / "s", mask=MASK, ids=IDS, labels=np.arange(3)),
    ],
)
def test_every_form_of_several_inputs(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    found = read_samples(make(tmp_path), TWO)
    assert list(found.arrays) == ["ids", "mask"]
    assert np.array_equal(found.arrays["ids"], IDS)
    assert found.arrays["mask"].dtype == np.float32


def test_rows_of_several_inputs_stay_together(tmp_path: Path) -> None:
    count = 2000
    ids = np.arange(count)[:, None].repeat(5, axis=1)
    path = npz(tmp_path / "s.npz", ids=ids, mask=ids.astype(np.float32))
    found = read_samples(path, TWO)
    assert (len(found), found.total) == (CALIBRATING + JUDGING, count)
    for part in (found, *found.split(), found.take(slice(7))):
        assert np.array_equal(part.arrays["ids"], part.arrays["mask"])
    assert found.arrays["ids"][:, 0].mean() == pytest.approx(count / 2, rel=0.1)  # from all of it


def test_a_folder_may_have_more_files_than_can_be_open(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    content = io.BytesIO()
    np.save(content, PICTURES[0])
    for position in range(1500):
        (folder / f"{position}.npy").write_bytes(content.getvalue())
    assert len(read_samples(folder, IMAGE)) == CALIBRATING + JUDGING


SCALAR = network(TensorSpec("x", (), "float32"))


def test_samples_of_single_numbers(tmp_path: Path) -> None:
    numbers = np.arange(6, dtype=np.float32)
    assert len(read_samples(npz(tmp_path / "s.npz", x=numbers), SCALAR)) == 6
    files = {f"n{i}": each for i, each in enumerate(numbers)}
    assert len(read_samples(folder_of(tmp_path / "s", **files), SCALAR)) == 6


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def text(path: Path, content: bytes = b"1, 2, 3\n") -> Path:
    path.write_bytes(content)
    return path


def folder_with(path: Path, make: Callable[[Path], object]) -> Path:
    path.mkdir()
    make(path / "a.npy")
    return path


BROKEN = np.full((10, 3, 4), np.nan, np.float32)
ENDLESS = np.where(PICTURES > 0.5, np.inf, PICTURES).astype(np.float32)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: npz(p / "s.npz", image=BROKEN), "image holds a number that is NaN or infinite"),
        (lambda p: npz(p / "s.npz", image=ENDLESS), "image holds a number that is NaN or infinite"),
        (lambda p: npz(p / "s.npz", image=PICTURES[:, :2]), r"image \[10, 2, 4\]|\[10, 2, 4\]"),
        (lambda p: npz(p / "s.npz", X=PICTURES, Z=PICTURES), r"must hold one array \[n, 3, 4\]"),
        (lambda p: npz(p / "s.npz", X=PICTURES[0]), r"it holds X \[3, 4\]"),
        (lambda p: npz(p / "s.npz"), "must hold one array"),
        (lambda p: npz(p / "s.npz", X=PICTURES[:1]), "holds 1 sample of net: give at least 2"),
        (lambda p: npz(p / "s.npz", X=PICTURES[:0]), "holds 0 samples of net: give at least 2"),
        (lambda p: npz(p / "s.npz", X=PICTURES.astype("U8")), "not numbers"),
        (lambda p: npz(p / "s.npz", X=PICTURES.astype(complex)), "not numbers"),
        (lambda p: npz(p / "s.npz", X=PICTURES.astype("M8[s]")), "not numbers"),
        (lambda p: npz(p / "s.npz", X=PICTURES * np.float64(1e300)), "cannot hold"),
        (lambda p: npz(p / "s.npz", X=PICTURES.astype(object)), "cannot be read"),
        (lambda p: folder_with(p / "s", lambda f: np.save(f, np.array([None]))), "cannot be read"),
        (lambda p: folder_with(p / "s", pipe), "a.npy is no plain file"),
        (lambda p: folder_with(p / "s", text), "a.npy is no .npy file"),
        (lambda p: folder_with(p / "s", Path.mkdir), "a.npy is no plain file"),
        (lambda p: folder_with(p / "s", lambda f: f.symlink_to("a.npy")), "cannot be read"),
        (lambda p: folder_with(p / "s", lambda f: f.symlink_to("/dev/zero")), "no plain file"),
        (lambda p: p, "has no .npy file"),
        (lambda p: folder_of(p / "s", a=PICTURES[0], b=PICTURES[0, :2]), "different shapes"),
        (lambda p: pipe(p / "s.npz"), "s.npz is no plain file"),
        (lambda p: pipe(p / "s.npy"), "s.npy is no plain file"),
        (lambda p: text(p / "s.npz"), "cannot be read"),
        (lambda p: text(p / "s.npy"), "s.npy is no .npy file"),
        (lambda p: text(p / "s.csv"), "cannot be read"),
        (lambda p: text(p / "s.npy", b""), "s.npy is no .npy file"),
        (lambda p: text(p / "s.npy", array_bytes(PICTURES)[:200]), "cannot be read"),
        (lambda p: text(p / "s.npy", claiming((2**40, 3, 4))), "cannot be read"),
        (lambda p: text(p / "s.npy", claiming((-1, 3, 4))), "cannot be read"),
        (lambda p: write_zip(p / "s.npz", {"X.npy": claiming((2**40, 3, 4))}), "cannot be read"),
        (lambda p: p / "missing.npz", "cannot be read .No such file"),
        (lambda p: p / "missing.npy", "cannot be read .No such file"),
    ],
)
def test_what_is_no_sample_is_refused_in_one_sentence(
    tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    path = make(tmp_path)
    with little_memory(1500), pytest.raises(OptionError, match=words) as caught:
        read_samples(path, IMAGE)
    message = str(caught.value)
    assert message.startswith(f"samples={path}")
    assert message.isprintable()
    assert len(message) < 600


def test_no_pickle_is_opened(tmp_path: Path) -> None:
    attack = array_bytes(np.array([Payload(tmp_path / "ran")], dtype=object), pickled=True)
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "a.npy").write_bytes(attack)
    (tmp_path / "s.npy").write_bytes(attack)
    write_zip(tmp_path / "s.npz", {"X.npy": attack})
    for name in ("s", "s.npy", "s.npz"):
        with pytest.raises(OptionError, match="cannot be read"):
            read_samples(tmp_path / name, IMAGE)
    assert not (tmp_path / "ran").exists()


def test_a_zip_bomb_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.accuracy.samples.MAX_BYTES", 1 << 22)
    bomb = {"X.npy": array_bytes(np.zeros((1 << 22, 3), np.float32))}
    path = write_zip(tmp_path / "s.npz", bomb, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with little_memory(20), pytest.raises(OptionError, match="claims more than 16,777,216 bytes"):
        read_samples(path, IMAGE)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = npz(tmp_path / "s.npz", X=PICTURES)
    path.chmod(0)
    with pytest.raises(OptionError, match="Permission denied"):
        read_samples(path, IMAGE)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"ids": IDS}, "has no array for the input 'mask' of net: name one after each input"),
        ({"ids": IDS, "mask": MASK[:9]}, "different numbers of samples: .'ids': 10, 'mask': 9"),
        ({"ids": IDS, "mask": MASK[:, :4]}, r"mask has the shape \[10, 4\], net takes \[n, 5\]"),
        ({"ids": IDS, "mask": np.float32(1)}, r"mask has the shape \[\], net takes \[n, 5\]"),
        ({"a": IDS, "b": MASK}, "has no array for the input 'ids'"),
    ],
)
def test_several_inputs_that_do_not_fit(tmp_path: Path, arrays: Any, words: str) -> None:
    for path in (npz(tmp_path / "s.npz", **arrays), folder_of(tmp_path / "s", **arrays)):
        with pytest.raises(OptionError, match=words):
            read_samples(path, TWO)


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
