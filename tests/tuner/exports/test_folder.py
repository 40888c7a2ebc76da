"""Folders that appear whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from envs.errors import NetworkError, OptionError
from tuner.exports.folder import write_folder

ROOT = Path(__file__).parents[3]


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_files_folders_and_scripts(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("copied")
    out = tmp_path / "new" / "out"
    write_folder(
        out,
        {
            "a/b/text.txt": "words",
            "bytes": b"\x00",
            "empty": None,
            "run.sh": "#!/bin/sh\n",
            "copy": partial(shutil.copyfile, source),
        },
        {"target": "x"},
    )
    assert (out / "a" / "b" / "text.txt").read_text() == "words"
    assert (out / "bytes").read_bytes() == b"\x00"
    assert list((out / "empty").iterdir()) == []
    assert (out / "run.sh").stat().st_mode & 0o111 == 0o111
    assert (out / "copy").read_text() == "copied"
    assert json.loads((out / "export.json").read_text()) == {"target": "x"}
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)]
)
def test_files_follow_the_umask(umask: int, file: int, folder: int, tmp_path: Path) -> None:
    def private(path: Path) -> None:  # as onnx writes the weights beside a file
        path.touch(mode=0o600)

    before = os.umask(umask)
    try:
        write_folder(tmp_path / "new" / "out", {"a/x.data": private, "b.sh": "#!/bin/sh\n"}, {})
    finally:
        os.umask(before)
    out = tmp_path / "new" / "out"
    modes = {each: (out / each).stat().st_mode & 0o777 for each in ("", "a", "a/x.data", "b.sh")}
    assert modes == {"": folder, "a": folder, "a/x.data": file, "b.sh": folder}


def test_only_an_older_export_is_replaced_and_only_if_asked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_folder(out, {"first": "1"}, {})
    with pytest.raises(OptionError, match="is not empty: name another folder, or give --overwrite"):
        write_folder(out, {"second": "2"}, {})
    assert set(content(out)) == {"first", "export.json"}
    write_folder(out, {"second": "2"}, {}, overwrite=True)
    assert set(content(out)) == {"second", "export.json"}
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").write_text("cat")
    with pytest.raises(
        OptionError, match="holds something else than an export, which is not overwritten"
    ):
        write_folder(other, {"second": "2"}, {}, overwrite=True)
    assert content(other) == {"cat.jpg": "cat"}
    with pytest.raises(OptionError, match="is a file: name a folder"):
        write_folder(other / "cat.jpg", {"second": "2"}, {}, overwrite=True)
    assert {each.name for each in tmp_path.iterdir()} == {"out", "photos"}


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_folder(tmp_path / "link", {"first": "1"}, {})
    write_folder(tmp_path / "link", {"second": "2"}, {}, overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert set(content(tmp_path / "real")) == {"second", "export.json"}


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("error", [NetworkError("it is gone"), KeyboardInterrupt()])
def test_a_failure_half_way_leaves_nothing_and_changes_nothing(
    before: bool, error: BaseException, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    if before:
        write_folder(out, {"first": "1"}, {})

    def fail(path: Path) -> None:
        path.write_text("half")
        raise error

    with pytest.raises(type(error)):
        write_folder(out, {"one": "1", "two": fail, "three": "3"}, {}, overwrite=True)
    assert [each.name for each in tmp_path.iterdir()] == ["out"] * before
    assert not before or set(content(out)) == {"first", "export.json"}


def test_a_file_that_cannot_be_written_gets_one_sentence(tmp_path: Path) -> None:
    # No file may grow beyond 1,000 bytes: the operating system refuses, as with a full disk.
    code = f"""
import resource, signal
from functools import partial
from pathlib import Path
from envs.errors import StorageError
from tuner.exports.folder import write_folder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_folder(Path({str(tmp_path / "out")!r}), {{"small": b"1", "large": b"0" * 5000}}, {{}})
except StorageError as error:
    print(error)
"""
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert (
        told.stdout
        == f"cannot write {tmp_path / 'out'} (File too large): free some space or name another"
        " folder\n"
    ), told.stderr
    assert list(tmp_path.iterdir()) == []
