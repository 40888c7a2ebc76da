from pathlib import Path

import pytest

from tests.cluster.kubernetes import build, programs


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a machine without a server, and without tools; return its cache folder."""
    monkeypatch.delenv(programs.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(program(tmp_path / "openssl").parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return programs.cache_folder()


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o755)
    return path


def test_without_a_server_the_reason_tells_how_one_is_had(nothing_here: Path) -> None:
    with pytest.raises(programs.Missing, match="make test-cluster builds one"):
        programs.find()


def test_a_build_that_cannot_be_is_the_reason_from_then_on(
    nothing_here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build.main()
    reason = capsys.readouterr().out.strip()
    assert reason == "kube-apiserver cannot be built: there is no apt-get here"
    with pytest.raises(programs.Missing, match=reason):
        programs.find()


def test_a_step_that_fails_is_told_in_its_own_words(
    nothing_here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    apt = program(tmp_path / "apt-get")
    apt.write_text("#!/bin/sh\necho 'W: slow' >&2\necho 'E: no network here' >&2\nexit 100\n")
    program(tmp_path / "dpkg-deb")
    monkeypatch.setattr(build, "KEYRING", program(tmp_path / "keyring.gpg"))
    monkeypatch.setattr(build, "mirror", lambda: "http://mirror.invalid/debian")
    with pytest.raises(programs.Missing, match="apt-get update failed: E: no network here"):
        build.build(nothing_here)
    assert not nothing_here.exists()


def test_a_server_is_found_in_the_named_folder_on_the_path_and_in_the_cache(
    nothing_here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cached = [program(nothing_here / name) for name in (programs.SERVER, programs.ETCD)]
    assert list(programs.find()) == cached
    on_path = [program(tmp_path / name) for name in (programs.SERVER, programs.ETCD)]
    assert list(programs.find()) == on_path
    named = [program(tmp_path / "named" / name) for name in (programs.SERVER, programs.ETCD)]
    monkeypatch.setenv(programs.VARIABLE, str(tmp_path / "named"))
    assert list(programs.find()) == named
    monkeypatch.setenv(programs.VARIABLE, str(tmp_path / "elsewhere"))
    with pytest.raises(programs.Missing, match="is no folder with kube-apiserver and etcd"):
        programs.find()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "debian.sources",
            "# a comment: with a colon\nTypes: deb\nURIs: http://other/\nSuites: trixie\n\n"
            "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm bookworm-updates\n",
        ),
        (
            "own.list",
            "# deb http://no/ bookworm main\ndeb [arch=amd64] http://mirror/debian bookworm main\n",
        ),
    ],
)
def test_the_mirror_is_that_of_the_machine(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build, "APT", tmp_path)
    with pytest.raises(programs.Missing, match="apt knows no mirror of Debian bookworm"):
        build.mirror()
    program(tmp_path / "sources.list.d" / name).write_text(text)
    assert build.mirror() == "http://mirror/debian"
