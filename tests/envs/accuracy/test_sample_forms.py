"""Every form in which users give samples, and what is no sample."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.accuracy.samples import CALIBRATING, JUDGING, read_samples
from envs.errors import OptionError
from envs.spec import TensorSpec
from tests.envs.accuracy.graphs import network, npz
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
