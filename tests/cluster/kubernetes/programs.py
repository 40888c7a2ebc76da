"""The kube-apiserver and the etcd of the tests: where they are, or why they are not here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

VARIABLE = "ORIN_TUNER_API_SERVER"
SERVER, ETCD = "kube-apiserver", "etcd"
#: Why nothing was built, in the folder of the build.
SKIPPED = "skipped"


class Missing(Exception):
    """Something that the server, or its build, needs is not here."""


class Binaries(NamedTuple):
    """The two programs."""

    server: Path
    etcd: Path


def cache_folder() -> Path:
    """Return the folder in which a built server stays."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "orin-tuner" / "kubernetes-1.20"


def find() -> Binaries:
    """Return the programs that are here.

    Raises:
        Missing: if they are not, with the reason why they were not built.
    """
    if shutil.which("openssl") is None:
        raise Missing("there is no openssl here, which makes the server's certificate")
    named = os.environ.get(VARIABLE)
    if named:
        found = _in_folder(Path(named))
        if found is None:
            raise Missing(f"{VARIABLE}={named} is no folder with {SERVER} and {ETCD}")
        return found
    server, etcd = shutil.which(SERVER), shutil.which(ETCD)
    if server and etcd:
        return Binaries(Path(server), Path(etcd))
    found = _in_folder(cache_folder())
    if found is None:
        skipped = cache_folder() / SKIPPED
        if skipped.is_file():
            raise Missing(skipped.read_text().strip())
        raise Missing(f"there is no {SERVER} here: make test-cluster builds one")
    return found


def _in_folder(folder: Path) -> Binaries | None:
    found = Binaries(folder / SERVER, folder / ETCD)
    return found if all(os.access(each, os.X_OK) for each in found) else None
