"""Policy bundles from an attacker run nothing, write nothing and fill no memory."""

from __future__ import annotations

import json
import pickle
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.belief.features import FEATURES
from envs.errors import BundleError
from tests.commands import call
from tests.security.attacks import (
    Payload,
    array_bytes,
    claiming,
    little_memory,
    members_of,
    refused,
    untouched,
    write_zip,
)
from tuner.folders import shipped
from tuner.policy.bundle import load_bundle, save_bundle

GOOD = shipped("checkpoints") / "reference.bundle"


def altered(
    path: Path, changes: dict[str, bytes | None], compression: int = zipfile.ZIP_STORED
) -> Path:
    """Return the shipped bundle with members replaced, added, or removed if the change is None."""
    return write_zip(
        path,
        {
            name: content
            for name, content in (members_of(GOOD) | changes).items()
            if content is not None
        },
        compression,
    )


def manifest(**changes: Any) -> bytes:
    return text_array(
        json.dumps(
            {"format": 3, "budget": 8, "features": list(FEATURES), "provenance": {}} | changes
        ).encode()
    )


def text_array(text: bytes) -> bytes:
    return array_bytes(np.frombuffer(text, dtype=np.uint8))


def test_bundles_without_an_attack_are_accepted(tmp_path: Path) -> None:
    assert load_bundle(altered(tmp_path / "b", {})).budget == load_bundle(GOOD).budget
    assert load_bundle(altered(tmp_path / "b", {"manifest.npy": manifest()})).provenance == {}


@pytest.mark.parametrize("member", ["trust", "manifest", "first.bias", "more"])
def test_an_array_of_objects_is_not_unpickled(tmp_path: Path, member: str) -> None:
    evil = np.array([Payload(tmp_path / "ran"), None], dtype=object)
    bundle = altered(tmp_path / "evil.bundle", {f"{member}.npy": array_bytes(evil, pickled=True)})
    with untouched(tmp_path), refused("holds object, not numbers", BundleError):
        load_bundle(bundle)
    np.load(bundle, allow_pickle=True)[member]
    assert (tmp_path / "ran").exists(), "the payload runs if it is unpickled"


@pytest.mark.parametrize("name", ["trust", "manifest", "extra.pkl", "data.pkl", "__init__.py"])
def test_a_pickle_in_the_place_of_an_array_is_not_unpickled(tmp_path: Path, name: str) -> None:
    content = pickle.dumps(Payload(tmp_path / "ran"))
    cases = [
        altered(tmp_path / "a", {name: content}),
        altered(tmp_path / "b", {f"{name}.npy": content}),
    ]
    (tmp_path / "c").write_bytes(content)
    with untouched(tmp_path):
        for bundle in (*cases, tmp_path / "c"):
            with refused("is damaged", BundleError):
                load_bundle(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.npy",
        "/tmp/escaped.npy",
        "a/../../escaped.npy",
        "..\\escaped.npy",
        "C:\\escaped.npy",
        "new\nline.npy",
        "\x1b[2J.npy",
    ],
)
def test_names_that_are_paths_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    bundle = altered(folder / "evil.bundle", {name: array_bytes(np.zeros(2, np.float32))})
    with untouched(tmp_path), refused("its arrays are not those of a policy", BundleError):
        load_bundle(bundle)


def test_a_member_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.npy"
    secret.write_bytes(array_bytes(np.array([1.0, 12.0], np.float32)))
    members = members_of(GOOD)
    del members["trust.npy"]
    bundle = write_zip(tmp_path / "evil.bundle", members)
    link = zipfile.ZipInfo("trust.npy")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(link, str(secret))
    with untouched(tmp_path), refused("is damaged", BundleError):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "shape",
    [(2**28,), (2**40,), (2**62,), (2**70,), (2**31, 2**31), (-1,), (-2, -2), (2, 2**40), ()],
)
@pytest.mark.parametrize("name", ["trust", "manifest", "first.bias"])
def test_a_false_shape_takes_no_memory(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    bundle = altered(tmp_path / "evil.bundle", {f"{name}.npy": claiming(shape, content=b"\0" * 8)})
    with little_memory(200), refused("is damaged", BundleError):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "dtype",
    ["<U500000000", "|S0", "|V0", "|O", [["a", "<f4"], ["b", "|O"]], "<M8[ns]", "x", "<f4,<f4"],
)
def test_a_strange_type_is_refused(tmp_path: Path, dtype: Any) -> None:
    bundle = altered(tmp_path / "evil.bundle", {"trust.npy": claiming((2,), dtype, b"\0" * 8)})
    with little_memory(200), refused("is damaged", BundleError):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "header",
    [
        "__import__('os').system('touch ran')",
        "{'descr': '<f4', 'shape': (" + "-" * 5000 + "1,)}",
        "(" * 9000,
        "'" + "9" * 9000,
        "{",
    ],
)
def test_an_invalid_header_is_refused(
    tmp_path: Path, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    with untouched(tmp_path, (tmp_path / "evil.bundle",)), refused("is damaged", BundleError):
        load_bundle(altered(tmp_path / "evil.bundle", {"trust.npy": content}))


#: More data than a bundle may have, compressed to a few kilobytes.
BOMB = claiming((65 << 18,), content=bytes(65 << 20))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, compression: int) -> None:
    bundle = altered(tmp_path / "evil.bundle", {"trust.npy": BOMB}, compression)
    assert bundle.stat().st_size < 2**18
    with little_memory(50), refused("claims more than", BundleError):
        load_bundle(bundle)


def test_a_bomb_that_understates_its_size_is_not_unpacked(tmp_path: Path) -> None:
    bundle = altered(tmp_path / "evil.bundle", {"trust.npy": BOMB}, zipfile.ZIP_DEFLATED)
    size = struct.pack("<I", len(BOMB))
    content = bundle.read_bytes()
    assert content.count(size) >= 2
    bundle.write_bytes(content.replace(size, struct.pack("<I", 136)))
    with little_memory(50), refused("is damaged", BundleError):
        load_bundle(bundle)


def patched(path: Path, offset: int, value: int) -> Path:
    """Change a number in both headers of all members; the directory has it two bytes later."""
    content = bytearray(path.read_bytes())
    for mark, shift in ((b"PK\x03\x04", offset), (b"PK\x01\x02", offset + 2)):
        start = content.find(mark)
        while start >= 0:
            struct.pack_into("<H", content, start + shift, value)
            start = content.find(mark, start + 4)
    path.write_bytes(content)
    return path


def test_archives_that_python_cannot_read_are_refused(tmp_path: Path) -> None:
    for name, offset, value in (
        ("encrypted", 6, 1),
        ("unknown", 8, 99),
        ("deflate", 8, 8),
        ("bzip2", 8, 12),
        ("lzma", 8, 14),
        ("version", 4, 255),
    ):
        with refused("is damaged", BundleError):
            load_bundle(patched(altered(tmp_path / name, {}), offset, value))


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"budget": budget}
            for budget in ("8", None, 8.5, [8], -3, 10**30, 1e400, float("nan"), {"a": 1})
        ),
        *({"format": number} for number in ("3", None, [3], "\x1b]0;x\x07\n" * 50)),
        *({"features": value} for value in (None, 3, {"a": 1}, list(FEATURES) * 10_000, [[]])),
        *(
            {"provenance": value}
            for value in (None, 3, "text", [1], {"trace": "name"}, {"trace": [1]})
        ),
    ],
    ids=lambda changes: repr(changes)[:30],
)
def test_a_manifest_of_wrong_types_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with refused("damaged|bundle format|other features", BundleError):
        load_bundle(altered(tmp_path / "evil.bundle", {"manifest.npy": manifest(**changes)}))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"3",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"format": ' + b"9" * 10_000 + b"}",
    ],
)
def test_an_invalid_manifest_is_refused(tmp_path: Path, text: bytes) -> None:
    with refused("is damaged", BundleError):
        load_bundle(altered(tmp_path / "evil.bundle", {"manifest.npy": text_array(text)}))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_in_every_array(
    tmp_path: Path, value: float
) -> None:
    for name, array in load_bundle(GOOD).weights.items():
        array.flat[array.size // 2] = value
        with refused(f"{name} is not finite", BundleError):
            load_bundle(altered(tmp_path / "evil.bundle", {f"{name}.npy": array_bytes(array)}))


def test_the_commands_print_one_line_and_write_nothing(tmp_path: Path) -> None:
    evil = np.array([Payload(tmp_path / "ran")], dtype=object)
    bundle = altered(tmp_path / "evil.bundle", {"trust.npy": array_bytes(evil, pickled=True)})
    with untouched(tmp_path):
        out = tmp_path / "out"
        for name, arguments in (
            ("export", ["--target", "policy", "--bundle", bundle, "--out", out]),
            (
                "evaluate",
                ["trace=resnet50", "evaluation.objectives=1", f"bundle={bundle}", f"out={out}"],
            ),
        ):
            result = call(name, *arguments)
            assert result.returncode == 2
            assert (
                result.stderr == f"error: {bundle} is damaged or no policy bundle "
                "(ValueError: an array holds object, not numbers)\n"
            )


def test_saving_replaces_a_link_and_follows_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the temporary file can be guessed, so that it may be a link too."""
    precious = tmp_path / "precious"
    precious.write_text("keep")
    monkeypatch.setattr("os.getpid", lambda: 7)
    for name in ("policy.bundle", ".policy.bundle.7.part"):
        (tmp_path / name).symlink_to(precious)
    save_bundle(tmp_path / "policy.bundle", load_bundle(GOOD))
    assert precious.read_text() == "keep"
    assert not (tmp_path / "policy.bundle").is_symlink()
    assert load_bundle(tmp_path / "policy.bundle").budget == load_bundle(GOOD).budget
