"""The pages: their commands and blocks run, their links resolve, and the README stays short."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tuner
from tests.commands import call
from tests.pages import PAGES, ROOT, blocks, commands
from tuner.deploy import DeployCommand
from tuner.episodes import EpisodesCommand
from tuner.export import HIDDEN, TARGETS, ExportCommand
from tuner.flags import read_flags
from tuner.map import MapCommand
from tuner.record import RecordCommand
from tuner.tune import TuneCommand
from tuner.watch import WatchCommand, source_of

README = (ROOT / "README.md").read_text(encoding="utf-8")

#: Commands of the README that no test can run: they install, or take minutes.
NOT_RUN = {
    "python3 -m venv .venv && . .venv/bin/activate",
    'python -m pip install -e ".[tune]" -c constraints.txt',
}

SHORT_SPACE = ("--max-instances", "2", "--batches", "1", "4")
LIVE = ("--p99-ms", "60000", "--measurements", "4", "--window-s", "0.2")

#: What is added to each command of the README, by its verb, so that it takes seconds.
COMPARED = ("evaluation.objectives=2", "evaluation.seeds=1", "evaluation.tuners=[random]")
ONE_PLACE = ("--folder", "kept", "--lock", "lock", "--metrics-port", "0")
SHORTER = {
    "networks": (),
    "tune": LIVE,
    "record": ("--window-s", "0.2", "--attempts", "1", *SHORT_SPACE),
    "train": (
        *("problems=8", "agent.steps=1000", "agent.envs=16", "agent.batch_size=112"),
        *COMPARED,
    ),
    "evaluate": COMPARED,
    "export": (),
    "deploy": (
        "--p99-ms",
        "60000",
        "--periods",
        "2",
        "--period-s",
        "0.3",
        *ONE_PLACE,
        *SHORT_SPACE,
    ),
}

#: Commands whose flags are read, with what they need to be read.
FLAGS = {"tune": TuneCommand, "record": RecordCommand, "deploy": DeployCommand}


@pytest.fixture
def folder(
    small_onnx: Path, other_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Work in a folder with what the README takes for granted: two networks and a client."""
    shutil.copy(small_onnx, tmp_path / "a.onnx")
    shutil.copy(other_onnx, tmp_path / "b.onnx")
    pictures = np.random.default_rng(0).standard_normal((24, 3, 48, 48), np.float32)
    np.savez(tmp_path / "inputs.npz", input=pictures)
    (tmp_path / "app.py").write_text(
        "import threading\ndef main(submit):\n    threading.Event().wait()\n"
    )
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path
    sys.modules.pop("app", None)  # or other tests would find the client


def test_the_readmes_commands_run(folder: Path) -> None:
    shown = list(commands(ROOT / "README.md"))
    assert set(shown) >= NOT_RUN, "a command that is not run is one that the README has"
    verbs = []
    for command in shown:
        if command in NOT_RUN:
            continue
        words = shlex.split(command)
        assert words[:2] == ["python", "-m"], command
        verb = words[2].removeprefix("tuner.")
        more = list(SHORTER[verb])
        if verb == "tune" and "onnxruntime" not in words and "--runtime" not in words:
            more += SHORT_SPACE
        result = call(verb, *words[3:], *more)
        assert result.returncode == 0, (command, result.stderr)
        verbs.append(verb)
    assert set(verbs) == set(SHORTER)
    assert (folder / "exported" / "README.txt").exists()


def test_the_readmes_python_block_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [block] = blocks(ROOT / "README.md", "python")
    shorter = block.replace("p99_ms=50", "p99_ms=60_000, measurements=4, window_s=0.2")
    assert shorter != block
    exec(compile(shorter.replace("window_s=3.0", "window_s=0.2"), "README.md", "exec"), {})
    assert "measured" in capsys.readouterr().out


def test_the_blocks_of_the_python_page_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(folder / "a.onnx", folder / "my.onnx")
    shutil.copy(folder / "b.onnx", folder / "other.onnx")
    for name, shorter in (("window_s", 0.1), ("measurements", 3)):
        monkeypatch.setitem(tuner.optimize.__kwdefaults__, name, shorter)
    names: dict[str, object] = {}
    for block in blocks(ROOT / "docs" / "python.md", "python"):
        exec(compile(block.replace("window_s=3.0", "window_s=0.1"), "python.md", "exec"), names)
    assert {"measured", "(simulated)"} <= set(capsys.readouterr().out.split())


def test_the_offline_page_clones_its_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    names: dict[str, object] = {}
    for block in blocks(ROOT / "docs" / "offline.md", "python"):
        shorter = re.sub(r"\b100([,)])", r"40\1", block.replace("episodes=300", "episodes=150"))
        exec(compile(shorter, "offline.md", "exec"), names)
    told = re.findall(r"(clone|teacher|random) (\d\.\d+)", capsys.readouterr().out)
    share = {name: float(value) for name, value in told}
    assert share["clone"] > share["teacher"] - 0.03
    assert share["teacher"] > share["random"] + 0.05


def test_the_readme_has_at_most_1000_words() -> None:
    assert len(README.split()) <= 1000


def test_the_picture_of_the_readme_is_small() -> None:
    [name] = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert (ROOT / name).stat().st_size < 150_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_in_the_pages_exist(page: Path) -> None:
    for command in commands(page):
        if not command.startswith("python -m tuner."):
            continue
        verb, *words = shlex.split(command)[2:]
        verb = verb.removeprefix("tuner.")
        if verb == "export":
            assert read_flags(ExportCommand, words, hidden=HIDDEN).target in TARGETS
        elif verb == "episodes":
            assert read_flags(EpisodesCommand, words).dataset, command
        elif verb == "map":
            assert read_flags(MapCommand, words).network, command
        elif verb == "watch":
            assert source_of(read_flags(WatchCommand, words)), command
        elif verb in FLAGS:
            given = read_flags(FLAGS[verb], words)
            assert given.serve.network or given.serve.trace, command
        else:
            assert verb in ("networks", "train", "evaluate"), command


def test_the_guide_for_a_jetson_shows_how_to_serve_and_export() -> None:
    shown = " ".join(commands(ROOT / "docs" / "on-device.md"))
    assert shown.count("python -m tuner.deploy ") >= 4
    assert shown.count("python -m tuner.export ") >= 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_benchmarks_named_in_the_pages_exist(page: Path) -> None:
    for name in re.findall(r"python -m benchmarks\.(\w+)", page.read_text(encoding="utf-8")):
        assert (ROOT / "benchmarks" / f"{name}.py").exists(), name


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    text = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return text.replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        name, _, part = target.partition("#")
        file = page if not name else (page.parent / name).resolve()
        assert file.exists(), f"{page.name}: {target}"
        if part:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert part in map(anchor, headings), f"{page.name}: {target}"


def test_paths_named_in_the_architecture_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:envs|tuner|tests|conf|checkpoints|benchmarks)/[\w/.]*)`", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`(envs(?:\.\w+)+|tuner(?:\.\w+)+)`", text):
        parts = name.split(".")
        if parts[0] == "tuner" and parts[1] in tuner.__all__:
            continue
        found = [ROOT.joinpath(*parts[:count]) for count in range(len(parts), 1, -1)]
        assert any(path.with_suffix(".py").exists() or path.is_dir() for path in found), name
