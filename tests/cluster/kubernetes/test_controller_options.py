"""The options of the command, and what it says when it cannot begin."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cluster.controller import ControllerCommand, main, settings_of
from cluster.placement.ours import Goal
from envs.errors import OptionError
from tuner.flags import read_flags


def settings(*flags: str):  # type: ignore[no-untyped-def]
    return settings_of(read_flags(ControllerCommand, flags))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--goal", "speed"], "--goal speed: choose from hosted, power"),
        (["--precision", "fp8"], "--precision fp8: choose from fp16, int8"),
        (["--reserve", "1"], "--reserve 1.0 must lie in 0..1"),
        (["--reserve", "nan"], "--reserve nan must lie in 0..1"),
        (["--grace-s", "-1"], "--grace-s -1.0 must be 0 or more"),
        (["--network-ms", "nan"], "--network-ms nan must be 0 or more"),
        (["--lease-s", "5"], "--lease-s 5.0 must be 12 or more"),
        (["--look-s", "0"], "look_s=0.0 must be above zero"),
        (["--progress-s", "0"], "progress_s=0.0 must be above zero"),
        (["--profiles", "/no/such"], "--profiles /no/such is no folder"),
    ],
)
def test_a_wrong_option_is_named(flags: list[str], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        settings(*flags)
    assert words in str(caught.value)


def test_options_become_what_decisions_depend_on(tmp_path: Path) -> None:
    found = settings(
        *("--image", "mine:1", "--goal", "power", "--reserve", "0.3", "--network-ms", "2"),
        *("--groups", "44", "109", "--runtime-class", "", "--profiles", str(tmp_path)),
    )
    assert (found.servers.image, found.servers.groups) == ("mine:1", (44, 109))
    assert (found.goal, found.rules.reserve, found.rules.network_s) == (Goal.POWER, 0.3, 0.002)
    assert found.servers.runtime_class == ""
    assert found.profiles == tmp_path


def test_a_kubeconfig_that_cannot_be_used_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").write_text("")
    for name in ("missing", "empty"):
        assert main(["--kubeconfig", str(tmp_path / name)]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"error: --kubeconfig: {tmp_path / name} cannot be used")
        assert said.count("\n") == 1


def test_an_api_server_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config"
    path.write_text(
        "{apiVersion: v1, kind: Config, current-context: a,"
        " clusters: [{name: a, cluster: {server: 'http://127.0.0.1:9'}}],"
        " users: [{name: a, user: {token: t}}],"
        " contexts: [{name: a, context: {cluster: a, user: a}}]}"
    )
    assert main(["--kubeconfig", str(path), "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: the API server at http://127.0.0.1:9 does not answer")


@pytest.mark.parametrize("package", ["kopf", "kubernetes.client"])
def test_a_missing_package_is_named(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, package.partition(".")[0], None)
    assert main(["--dry-run"]) == 2
    said = capsys.readouterr().err
    assert "pip install" in said
    assert "'orin-tuner[kubernetes]'" in said
