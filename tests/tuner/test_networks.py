from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tuner.networks import main

pytest.importorskip("onnx")


def test_writes_networks_and_prints_what_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["squeezenet1_1", "mobilenet_v2", "squeezenet1_1", "--out", str(tmp_path)]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["network", "file", "parameters", "GMACs", "weights", "[MiB]"]
    assert [row.split() for row in rows] == [
        ["squeezenet1_1", str(tmp_path / "squeezenet1_1.onnx"), "1,235,496", "0.35", "4.7"],
        ["mobilenet_v2", str(tmp_path / "mobilenet_v2.onnx"), "3,504,872", "0.30", "13.5"],
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "mobilenet_v2.onnx",
        "squeezenet1_1.onnx",
    ]


def test_seed_changes_the_file(tmp_path: Path) -> None:
    for seed in ("0", "1"):
        assert main(["squeezenet1_1", "--out", str(tmp_path / seed), "--seed", seed]) == 0
    assert (tmp_path / "0" / "squeezenet1_1.onnx").read_bytes() != (
        tmp_path / "1" / "squeezenet1_1.onnx"
    ).read_bytes()


def test_without_a_name_it_teaches_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    text = capsys.readouterr().out
    assert "resnet50" in text
    assert "4.09 GMACs" in text
    assert "nothing written" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["squeezenet1_1", "resnet19"], "error: unknown network 'resnet19': choose from"),
        (["squeezenet1_1", "--seed", "-1"], "error: seed=-1 must be at least 0"),
    ],
)
def test_wrong_option_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert main([*arguments, "--out", str(tmp_path)]) == 2
    output = capsys.readouterr()
    assert output.err.startswith(reason)
    assert output.out == ""
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["squeezenet1_1", "--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith("error: cannot write ")


def test_is_a_command_and_needs_no_onnx_for_its_help() -> None:
    script = (
        "import sys, runpy; sys.modules['onnx'] = None;"
        "runpy.run_module('tuner.networks', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--help"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "densenet121" in done.stdout
