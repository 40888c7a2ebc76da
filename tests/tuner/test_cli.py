"""All commands share two things: options as people write them, and errors as one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from envs.errors import OptionError
from tests.commands import call
from tuner.__main__ import VERBS
from tuner.cli import run_command
from tuner.evaluate import EvaluateCommand
from tuner.flags import run
from tuner.tune import TuneCommand

ROOT = Path(__file__).parents[2]


def terminal(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=ROOT, timeout=600
    )


@pytest.mark.parametrize("command", ["train", "record", "evaluate", "tune", "export", "deploy"])
def test_help_teaches(command: str) -> None:
    result = call(command, "--help")
    assert result.returncode == 0
    assert f"python -m tuner.{command}" in result.stdout
    assert len(result.stdout.splitlines()) > 8


@pytest.mark.parametrize("command", ["tuner.train", "tuner.networks"])
def test_a_module_is_a_command(command: str) -> None:
    result = terminal(command, "--help")
    assert result.returncode == 0
    assert f"python -m {command}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["record", "--network", "nowhere.onnx"], "there is no file nowhere.onnx"),
        (["record"], "network is missing"),
        (["record", "--network", "x", "--accelerators", "npu"], "unknown accelerator 'npu'"),
        (["record", "--network", "NET", "--cores", "0"], "cores=0"),
        (["record", "--attempts", "0"], "record.attempts=0"),
        (["record", "--accelerators"], "--accelerators: expected at least one argument"),
        (["record", "--network", "x", "--accelerators", "cuda", "cuda"], "each once"),
        (["train", "trace=nowhere"], "there is no trace 'nowhere'"),
        (["train", "agent.steps=0"], "agent.steps=0"),
        (["train", "agent.budget=1"], "agent.budget=1"),
        (["train", "agent.changes=2"], "agent.changes=2.0 must lie in 0..1"),
        (["train", "agent.budget=many"], "'many' of type 'str' could not be converted to Integer"),
        (["train", "agents.budget=3"], "agents"),
        (["train", "agent=dqn"], "agent/dqn"),
        (["train", "draw=mars"], "draw/mars"),
        (["train", "seed=-1"], "seed=-1"),
        (["train", "agent.batch_size=1"], "agent.batch_size=1"),
        (["train", "problems=-1"], "train.problems=-1"),
        (["train", "jobs=0"], "train.jobs=0"),
        (
            ["train", "draw.boards=[agx_thor]"],
            "draw.boards=['agx_thor'] must name some of agx_orin_64",
        ),
        (["train", "draw.modes=[MAXX]"], "draw.modes=['MAXX']: agx_orin_64 has no MAXX"),
        (["train", "draw.networks=[resnet51]"], "draw.networks=['resnet51'] must name some of"),
        (["train", "draw.plain=2"], "draw.plain=2.0 must lie in 0..1"),
        (["train", "draw.split=test"], "draw.split='test' must be one of"),
        (["evaluate", "draw.tenants=[0.5,0.6]"], "draw.tenants=[0.5, 0.6]"),
        (["evaluate", "evaluation.seeds=0"], "evaluation.seeds=0"),
        (
            ["evaluate", "trace=resnet50", "network=[nowhere.onnx]"],
            "there is no file nowhere.onnx",
        ),
        (["evaluate", "network=[nowhere.onnx]"], "give a trace"),
        (["evaluate", "bundle=nowhere.bundle"], "there is no policy bundle nowhere.bundle"),
        (
            [
                "evaluate",
                "evaluation.tuners=[magic]",
                "evaluation.objectives=1",
                "evaluation.seeds=1",
            ],
            "search='magic' is unknown",
        ),
        (["train", "--trace", "resnet50"], "--trace: write trace=VALUE"),
        (["train", "--agent.steps=5"], "--agent.steps=5: write agent.steps=5"),
        (["tune"], "network is missing"),
        (["tune", "--netwrk", "x"], "there is no flag --netwrk: did you mean --network?"),
        (["tune", "--p99", "5"], "there is no flag --p99: did you mean --p99-ms?"),
        (["tune", "network=x"], "network=x: write --network x"),
        (["tune", "space.max_instances=2"], "write --max-instances 2"),
        (["record", "workload.networks=[a,b]"], "write --network a b"),
        (["tune", "--batches", "[1,4]"], "[1,4]: write the values one after another, as in 1 4"),
        (["tune", "--network", "x", "--batches", "4", "1"], "batches=[4, 1] must be ascending"),
        (["tune", "--network", "x", "--rate-ips", "1", "2"], "rate_ips has 2 values for 1"),
        (["tune", "--network", "x", "--board", "orin_nano_8"], "board has no meaning for"),
        (["tune", "--runtime", "replayed"], "trace is missing"),
        (["tune", "--sensor", "wattmeter", "--network", "x"], "sensor=wattmeter"),
        (["record", "--plan", "all"], "plan='all' must be grid, lhs or random"),
        (["deploy", "--runtime", "warp"], "runtime=warp is unknown"),
        (["tune", "--network", "nowhere.onnx", "--p99-ms", "-5"], "must be above zero"),
        (["tune", "--network", "nowhere.onnx", "--measurements", "1"], "measurements=1"),
        (["networks", "resnet51"], "resnet51"),
    ],
)
def test_a_wrong_option_gets_one_sentence(
    arguments: list[str], sentence: str, small_onnx: Path, tmp_path: Path
) -> None:
    where = {"train": [f"run_dir={tmp_path}"], "evaluate": [f"out={tmp_path}"]}.get(
        arguments[0], []
    )
    result = call(*(each.replace("NET", str(small_onnx)) for each in arguments), *where)
    assert result.returncode == 2, result.stderr
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1 or arguments[0] == "networks"


def test_ctrl_c_and_errors_have_codes_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: object) -> int:
        raise KeyboardInterrupt

    def wrong(options: object) -> int:
        raise OptionError("batches=[] is empty")

    for task, code, sentence in (
        (interrupted, 130, "interrupted; what was completed is kept"),
        (wrong, 2, "error: batches=[] is empty"),
    ):
        assert run(TuneCommand, task, ["--measurements", "5"], "") == code
        assert capsys.readouterr().err == f"{sentence}\n"
        monkeypatch.setattr(sys, "argv", ["tuner.evaluate", "out=x"])
        with pytest.raises(SystemExit) as ended:
            run_command("evaluate", EvaluateCommand, task)
        assert ended.value.code == code
        assert capsys.readouterr().err == f"{sentence}\n"


def test_the_console_script_is_the_same_as_the_modules() -> None:
    told = terminal("tuner", "--help")
    assert told.returncode == 0
    for verb in VERBS:
        assert f"  {verb} " in told.stdout
    told = terminal("tuner", "tune", "--network", "nowhere.onnx")
    assert (told.returncode, told.stderr[:13]) == (2, "error: there ")
    told = terminal("tuner", "evaluate", "evaluation.seeds=0")
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    told = terminal("tuner", "tuen")
    assert told.stderr == "error: there is no command tuen: did you mean tune?\n"
    assert told.returncode == 2


def test_hydras_own_flags_work(tmp_path: Path) -> None:
    told = terminal("tuner.train", "--cfg", "job", "--package", "agent")
    assert told.returncode == 0, told.stderr
    assert "steps: " in told.stdout
    told = terminal("tuner.evaluate", "--multirun", f"hydra.sweep.dir={tmp_path}", "trace=a,b")
    assert told.returncode == 2
    assert "there is no trace 'a'" in told.stderr
