"""Names of files with any letter, read back by Hydra's own grammar and by the commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from envs.errors import OptionError
from tests.commands import call
from tuner.flags import read_flags
from tuner.overrides import quoted_overrides
from tuner.record import RecordCommand
from tuner.tune import TuneCommand

NAMES = [
    *("größe 1.onnx", "a,b.onnx", "[x].onnx", "net=1.onnx", "it's.onnx", "наборы.onnx"),
    *('q"uote.onnx', "${a}.onnx", "{y}.onnx", "back\\slash.onnx", "100%.onnx", "a:b.onnx"),
    *("#1.onnx", "new  two.onnx", "~.onnx", "plain.onnx", "network=1.onnx", "(z),(w).onnx"),
]

ROOT = Path(__file__).parents[2]
GRAMMAR = OverridesParser.create()


def parses(override: str) -> bool:
    try:
        return not GRAMMAR.parse_override(override).is_sweep_override()
    except HydraException:
        return False


def read(*arguments: str) -> dict[str, object]:
    """Return the values that Hydra and OmegaConf make of the arguments."""
    given = {}
    for override in GRAMMAR.parse_overrides(quoted_overrides(arguments, parses)):
        given[override.key_or_group] = override.value()
    found = OmegaConf.to_container(OmegaConf.create(given), resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in NAMES:
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_is_read_alone_in_a_list_and_by_its_path(
    name: str, folder: Path
) -> None:
    for written in (name, f"./{name}", str(folder / name)):
        assert read(f"network={written}") == {"network": [written]}
        assert read(f"network=[{written}]") == {"network": [written]}
        assert read(f"network=[plain.onnx, {written},plain.onnx]") == {
            "network": ["plain.onnx", written, "plain.onnx"]
        }
        assert read(f"trace={written}") == {"trace": written}


def test_all_of_them_in_one_list(folder: Path) -> None:
    assert read(f"network=[{','.join(NAMES)}]") == {"network": NAMES}


def test_values_that_hydra_reads_stay_as_they_are() -> None:
    arguments = [
        *("seed=3", "draw.tenants=[0.5,0.6]", "agent=fine_tune", "p99_ms=null", "network=[]"),
        *("hydra.sweep.dir=/tmp/x", "--cfg", "job", "draw.split=held_out", "twin=true"),
        *("+evaluation.max_measurements={tpe: 3}", 'trace="größe.parquet"', "~draw"),
    ]
    assert quoted_overrides(arguments, parses) == arguments


def test_quotes_of_the_user_are_kept_and_files_that_are_missing_are_quoted_too() -> None:
    assert read("network=['a,b.onnx',\"c d.onnx\"]") == {"network": ["a,b.onnx", "c d.onnx"]}
    assert read("network=[größe.onnx,b.onnx]") == {"network": ["größe.onnx", "b.onnx"]}
    assert read("run_dir=läufe/it's") == {"run_dir": "läufe/it's"}
    assert read("run_dir=a,b c") == {"run_dir": "a,b c"}
    assert read("draw.networks=[größe,b]") == {"draw.networks": ["größe", "b"]}
    assert read("network=[]") == {"network": []}


def test_a_sweep_is_left_to_hydra() -> None:
    arguments = ["--multirun", "trace=a,b", "network=[a],[b]"]
    assert quoted_overrides(arguments, parses) == arguments


@pytest.mark.parametrize("name", [*NAMES, "-x.onnx"])
def test_flags_take_files_of_any_name(name: str, folder: Path) -> None:
    (folder / name).write_text("")
    options = read_flags(TuneCommand, ["--network", name, "plain.onnx", "--p99-ms", "5"])
    assert [Path(each) for each in options.serve.network] == [Path(name), Path("plain.onnx")]
    (folder / name).unlink()
    if name.startswith("network="):
        with pytest.raises(OptionError, match=re.escape("write --network 1.onnx")):
            read_flags(RecordCommand, [name])


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize(
    "name", ["größe 1.onnx", "a,b.onnx", "[x].onnx", "net=1.onnx", "it's.onnx"]
)
def test_the_commands_take_them(
    name: str, link: bool, small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if link:
        (tmp_path / "models").mkdir()
        shutil.copy(small_onnx, tmp_path / "models" / "other name.onnx")
        os.symlink(Path("models") / "other name.onnx", name)
    else:
        shutil.copy(small_onnx, name)
    board = ("--runtime", "simulated", "--batches", 1, 4, "--max-instances", 1)
    network, stem = ("--network", name), name.removesuffix(".onnx")
    result = call("tune", *network, *board, "--measurements", 3, "--out", f"{stem}.json")
    assert result.returncode == 0, result.stderr
    assert f"answer: {stem}: " in result.stdout
    recorded = call(
        *("record", *network, *board, "--plan", "random", "--count", 12),
        *("--out", f"{stem}.parquet"),
    )
    assert recorded.returncode == 0, recorded.stderr
    for target in ("triton", "trtexec", "deepstream"):
        exported = call(
            *("export", "--target", target, *network, "--answer", f"{stem}.json"),
            *("--out", f"{stem} {target}"),
        )
        assert exported.returncode == 0, (target, exported.stderr)
    served = call(
        *("deploy", *network, *board, "--p99-ms", 100, "--periods", 2),
        *("--folder", "kept", "--lock", "lock"),
    )
    assert served.returncode == 0, served.stderr
    compared = call(
        *("evaluate", f"trace={stem}.parquet", f"out={stem} report"),
        *("evaluation.objectives=1", "evaluation.seeds=1", "evaluation.tuners=[random]"),
    )
    assert compared.returncode == 0, compared.stderr
    assert Path(f"{stem} report", "report.html").exists()


def test_training_takes_a_list_of_them(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["größe 1.onnx", "it's a,b.onnx"]
    for name in names:
        shutil.copy(small_onnx, name)
    result = call(
        *("train", "run_dir=läufe", "runtime=simulated", f"network=[{','.join(names)}]"),
        *("agent=fine_tune", "agent.steps=14", "agent.envs=1", "agent.episodes_per_update=1"),
        *("agent.batch_size=7", "problems=1", "max_instances=1", "batches=[1,4]"),
    )
    assert result.returncode == 0, result.stderr
    kept = yaml.safe_load((tmp_path / "läufe" / "config.yaml").read_text())
    assert kept["network"] == names


def test_a_terminal_without_the_letters_shows_their_codes(small_onnx: Path, tmp_path: Path) -> None:
    shutil.copy(small_onnx, tmp_path / "наборы.onnx")
    command = (
        *(sys.executable, "-m", "tuner.tune", "--network", "наборы.onnx", "--measurements", "3"),
        *("--runtime", "simulated", "--batches", "1", "--max-instances", "1"),
    )
    environment = os.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert rb"answer: \u043d\u0430\u0431\u043e\u0440\u044b: " in result.stdout
