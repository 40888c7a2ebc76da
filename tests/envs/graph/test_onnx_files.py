"""ONNX files: damaged ones, weights beside them, their names and hashes."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from dataclasses import asdict
from pathlib import Path

import onnx
import pytest

from envs.errors import DependencyError, NetworkError
from envs.graph.reading import read_network
from envs.optional import optional_import
from envs.spec import Network
from tests.envs.graph.small_graphs import node, refusal, save, small, tensor, weight


def test_description_survives_json(tmp_path: Path) -> None:
    network = read_network(small(tmp_path))
    assert Network.from_dict(json.loads(json.dumps(network.to_dict()))) == network
    assert Network.from_dict(asdict(network)) == network
    with pytest.raises(NetworkError, match="not the description of a network"):
        Network.from_dict({"name": "net"})
    with pytest.raises(NetworkError, match="not the description of a network"):
        Network.from_dict(network.to_dict() | {"colour": "red"})


def test_hash_tells_files_apart(tmp_path: Path) -> None:
    first = read_network(small(tmp_path)).sha256
    assert first == read_network(small(tmp_path)).sha256
    assert first != read_network(small(tmp_path, batch=6)).sha256


def test_files_of_other_formats_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    assert "does not exist" in refusal(path)
    assert "is not a file" in refusal(tmp_path)
    whole = small(tmp_path).read_bytes()
    for content in (
        b"",
        b"\x00" * 50,
        b"not a network at all",
        random.Random(0).randbytes(500),
        whole[: len(whole) // 2],
        whole[:-3],
    ):
        path.write_bytes(content)
        assert "is not an ONNX file, or is cut short" in refusal(path)


@pytest.mark.parametrize("seed", range(3))
def test_damage_never_ends_in_anything_but_a_sentence(tmp_path: Path, seed: int) -> None:
    whole, chance = small(tmp_path).read_bytes(), random.Random(seed)
    positions = [*range(200), *range(len(whole) - 200, len(whole))]
    path = tmp_path / "damaged.onnx"
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.choice(positions)] = chance.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(NetworkError):  # some damage is harmless
            read_network(path)


def test_model_that_fails_the_checker_is_refused(tmp_path: Path) -> None:
    invalid = save(
        tmp_path,
        [node("Relu", ["x", "x"], ["y"])],
        [tensor("x", ["n", 2])],
        [tensor("y", ["n", 2])],
    )
    assert "is not a valid ONNX model" in refusal(invalid)
    misfit = save(
        tmp_path,
        [node("MatMul", ["x", "w"], ["y"])],
        [tensor("x", ["n", 7])],
        [tensor("y", ["n", 3])],
        (weight("w", 8, 3),),
    )
    assert "does not fit together" in refusal(misfit)


def external(folder: Path, location: str) -> Path:
    path = small(folder)
    model = onnx.load(str(path))
    tensor = model.graph.initializer[0]
    content = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    for file in ("weights.bin", "../weights.bin"):
        (folder / file).write_bytes(content)
    return path


@pytest.mark.parametrize(
    "location",
    [
        "../weights.bin",
        "sub/../../weights.bin",
        "/etc/passwd",
        "..\\weights.bin",
        "C:\\weights.bin",
    ],
)
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    assert "outside its own folder" in refusal(external(folder, location))


def test_weights_beside_the_model_are_read_and_count_for_its_hash(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    path = external(folder, "weights.bin")
    network = read_network(path)
    assert network.macs == 4 * 8 * 8 * 27 + 10 * 256
    content = bytearray((folder / "weights.bin").read_bytes())
    content[0] ^= 1
    (folder / "weights.bin").write_bytes(content)
    assert read_network(path).sha256 != network.sha256
    (folder / "weights.bin").unlink()
    assert "is missing" in refusal(path)


def test_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    path = external(folder, "link.bin")
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    assert "outside its own folder" in refusal(path)


def test_missing_package_is_told_from_a_broken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        DependencyError,
        match=r"^no_such_package is not installed: pip install 'orin-tuner\[networks\]'$",
    ):
        optional_import("no_such_package", "networks")
    (tmp_path / "broken_package.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DependencyError, match="installed but cannot be loaded"):
        optional_import("broken_package", "networks")


def test_the_name_of_a_network_is_printable_and_on_one_line(
    tmp_path: Path, small_onnx: Path
) -> None:
    path = tmp_path / "\x1b[31mtwo\nlines.onnx"
    shutil.copy(small_onnx, path)
    assert read_network(path).name == "?[31mtwo lines"
