"""Find or build a kube-apiserver and an etcd: `python -m tests.cluster.kubernetes.build`.

They are looked for in the folder that ORIN_TUNER_API_SERVER names, on the PATH, and in the user's
cache folder. Otherwise Debian's packages are downloaded into a temporary folder: Go, etcd and the
source of Kubernetes 1.20, from which the server is built without the drivers of cloud providers and
without optimization, which is fastest. Nothing is installed, and apt's configuration is not
touched; root is not needed. Ends with code 0 and one sentence where that is not possible, and the
tests are then skipped with that sentence.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.kubernetes.programs import (
    ETCD,
    SERVER,
    SKIPPED,
    VARIABLE,
    Binaries,
    Missing,
    cache_folder,
    find,
)

GO_VERSION = "1.19"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: A release that has this source, and where apt's own lists name a mirror of it.
RELEASE = "bookworm"
APT = Path("/etc/apt")
#: A list of the build's own: the machine's lists name no sources.
_SOURCES = """\
deb [signed-by={keyring}] {mirror} {release} main
deb-src [signed-by={keyring}] {mirror} {release} main
"""
_APT = """\
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "{folder}/lists";
Dir::Cache "{folder}/cache";
Acquire::Languages "none";
APT::Update::Error-Mode "any";
APT::Sandbox::User "";
"""
#: The source's own copy of this library reads maps as Go did before 1.18, and crashes with this Go.
_REFLECT = "golang-github-modern-go-reflect2-dev"
_REFLECT_PATH = "github.com/modern-go/reflect2"
#: A generated file that the source package leaves out: the types that the server describes.
_OPENAPI = "k8s.io/kubernetes/pkg/generated/openapi"
_MARK = "+k8s:openapi-gen="


def build(target: Path) -> Binaries:
    """Build both into `target`.

    Raises:
        Missing: if something that this needs is not here, or a step of it fails.
    """
    if platform.system() != "Linux":
        raise Missing(f"they are built from Debian's packages on Linux, not on {sys.platform}")
    for tool in ("apt-get", "dpkg-deb", "tar"):
        if shutil.which(tool) is None:
            raise Missing(f"there is no {tool} here")
    if not KEYRING.is_file():
        raise Missing(f"there is no {KEYRING}, with which Debian's packages are checked")
    with tempfile.TemporaryDirectory(prefix="orin-tuner-") as name:
        folder = Path(name)
        _say("Downloading Debian's Go, etcd and the source of Kubernetes")
        _download(folder)
        source = _unpack(folder)
        go = _Go(folder, source)
        _say("Generating the server's descriptions of types")
        _generate(go)
        go.build(f"./cmd/{SERVER}", folder / SERVER, "Compiling")
        target.mkdir(parents=True, exist_ok=True)
        for program in (folder / SERVER, folder / "root" / "usr" / "bin" / ETCD):
            part = target / f"{program.name}.part"
            shutil.copy2(program, part)
            part.replace(target / program.name)
    return Binaries(target / SERVER, target / ETCD)


def _download(folder: Path) -> None:
    for each in ("lists/partial", "cache/archives/partial"):
        (folder / each).mkdir(parents=True)
    sources = _SOURCES.format(keyring=KEYRING, mirror=mirror(), release=RELEASE)
    (folder / "sources.list").write_text(sources)
    (folder / "apt.conf").write_text(_APT.format(folder=folder))
    own = {"APT_CONFIG": str(folder / "apt.conf")}
    _run("apt-get", "update", cwd=folder, **own)
    packages = [f"golang-{GO_VERSION}-go", f"golang-{GO_VERSION}-src", "etcd-server", _REFLECT]
    _run("apt-get", "download", *packages, cwd=folder, **own)
    _run("apt-get", "source", "--download-only", "kubernetes", cwd=folder, **own)


def mirror() -> str:
    """Return the address from which this machine has the release's packages.

    Raises:
        Missing: it has none of this release.
    """
    for path in (APT / "sources.list", *sorted(APT.glob("sources.list.d/*"))):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if path.suffix == ".sources":
            for block in re.split(r"\n\s*\n", text):
                lines = (line.partition(":") for line in block.splitlines() if line[:1] != "#")
                fields = {name.lower(): value.split() for name, _, value in lines}
                if RELEASE in fields.get("suites", ()) and fields.get("uris"):
                    return fields["uris"][0]
        elif path.suffix == ".list":
            found = re.search(rf"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+{RELEASE}\s", text, re.MULTILINE)
            if found:
                return found[1]
    raise Missing(f"apt knows no mirror of Debian {RELEASE}, which has the source of Kubernetes")


def _unpack(folder: Path) -> Path:
    """Unpack everything, and return the folder of Kubernetes' source."""
    for package in folder.glob("*.deb"):
        _run("dpkg-deb", "-x", str(package), str(folder / "root"))
        package.unlink()
    source = folder / "path" / "src" / "k8s.io" / "kubernetes"
    source.mkdir(parents=True)
    archive = next(folder.glob("kubernetes_*.orig.tar.*"))
    _run("tar", "-xf", str(archive), "-C", str(source), "--strip-components=1")
    own = source / "vendor" / _REFLECT_PATH
    shutil.rmtree(own)
    shutil.copytree(folder / "root" / "usr" / "share" / "gocode" / "src" / _REFLECT_PATH, own)
    return source


class _Go:
    """Debian's Go, unpacked, in the mode in which this source builds."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder, self.source = folder, source
        self.root = folder / "root" / "usr" / "lib" / f"go-{GO_VERSION}"
        self.path = folder / "path"
        self.environment = {
            "GOROOT": str(self.root),
            "GOPATH": str(self.path),
            "GO111MODULE": "off",
            "GOCACHE": str(folder / "gocache"),
            "GOFLAGS": "-tags=providerless",
            "CGO_ENABLED": "0",
            "GOGC": "800",
            "GOENV": "off",
        }

    def __call__(self, *arguments: str) -> str:
        go = str(self.root / "bin" / "go")
        return _run(go, *arguments, cwd=self.source, **self.environment)

    def packages(self, of: str) -> list[str]:
        """Return the import paths of a package and of all that it imports."""
        return self("list", "-deps", of).split()

    def build(self, package: str, target: Path, label: str) -> None:
        """Build a program, and show how far it is."""
        # Go's own packages come compiled with it.
        flags = ["-gcflags=k8s.io/...=-N -l -dwarf=false", "-ldflags=-s -w"]
        command = [str(self.root / "bin" / "go"), "build", "-v", *flags, "-o", str(target), package]
        own = [each for each in self.packages(package) if each.startswith("k8s.io/")]
        started, expected = time.monotonic(), len(own)
        with subprocess.Popen(
            command,
            cwd=self.source,
            env={**os.environ, **self.environment},
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stderr is not None
            last = list(_shown(running.stderr, label, expected))
        if running.returncode != 0:
            raise Missing(f"go build {package} failed: {last[-1] if last else 'without a word'}")
        _say(f"{label}: done after {time.monotonic() - started:.0f} s")


def _shown(lines: Iterator[str], label: str, expected: int) -> Iterator[str]:
    """Yield the lines that are no package's name, and say each tenth of the packages."""
    step = max(20, expected // 10)
    for number, line in enumerate(lines, 1):
        if number % step == 0 and number < expected:
            _say(f"{label}: {number} of {expected} packages")
        if " " in line:
            yield line.strip()


def _generate(go: _Go) -> None:
    """Write the file that the source package leaves out, for the packages the server needs."""
    tool = go.folder / "openapi-gen"
    go.build("./vendor/k8s.io/kube-openapi/cmd/openapi-gen", tool, "Compiling the generator")
    marked = [
        each
        for each in go.packages(f"./cmd/{SERVER}")
        if "k8s.io" in each
        and any(
            _MARK in file.read_text(errors="replace")
            for file in (go.path / "src" / each).glob("*.go")
        )
    ]
    _run(
        *(str(tool), "--input-dirs", ",".join(marked), "--output-package", _OPENAPI),
        *("--output-file-base", "zz_generated.openapi", "--output-base", str(go.path / "src")),
        *("--go-header-file", "vendor/k8s.io/code-generator/hack/boilerplate.go.txt"),
        *("--report-filename", str(go.folder / "violations")),
        cwd=go.source,
        **go.environment,
    )


def _run(*command: str, cwd: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it does not say why"]
        fetched = [line for line in lines if "Failed to fetch" in line]
        errors = fetched or [line for line in lines if line.startswith("E:")] or lines
        name = " ".join([Path(command[0]).name, *command[1:3]])
        raise Missing(f"{name} failed: {errors[-1].strip()}")
    return done.stdout


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Find or build the server, or write down why there is none."""
    skipped = cache_folder() / SKIPPED
    skipped.unlink(missing_ok=True)
    try:
        found = find()
    except Missing as reason:
        if os.environ.get(VARIABLE) or shutil.which("openssl") is None:
            _say(str(reason))
            return
        try:
            found = build(cache_folder())
        except (Missing, OSError) as error:
            cache_folder().mkdir(parents=True, exist_ok=True)
            skipped.write_text(f"{SERVER} cannot be built: {error}\n")
            _say(skipped.read_text().strip())
            return
    _say(f"The tests use {found.server} and {found.etcd}")


if __name__ == "__main__":
    main()
