"""Engines on disk: found by everything they depend on, and checked before they are used.

`KEY.plan` is a plan. `KEY.json` has its identity and its checksum. `KEY.failed.json` remembers a
build that failed, and `KEY.building` one that runs. A name in the folder that is a link is never
followed, and nothing is unpickled.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from envs.errors import StorageError
from envs.runtimes.tensorrt.spec import BuildHost, canonical, without_mode

#: Increased whenever the engines that older versions kept must not be used any more.
FORMAT = 3

#: No plan is as large as this; a larger file is not read.
MAX_BYTES = 16 << 30

#: The names of manifests.
_MANIFEST = re.compile(r"[0-9a-f]{64}\.json")


class EngineCache:
    """Plans, failures and timing caches in one folder. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._folder = folder.resolve(strict=True)
        except OSError as error:
            raise StorageError(
                f"cannot keep engines in {folder} ({error.strerror or error}): "
                "give a folder with room"
            ) from error

    def key(self, identity: dict[str, Any]) -> str:
        """Return the name of the engine with this identity: 64 hexadecimal digits."""
        return hashlib.sha256(canonical({"format": FORMAT, **identity})).hexdigest()

    def has(self, identity: dict[str, Any]) -> bool:
        """Return True if there is a whole plan, by its manifest and its size; it is not read."""
        key = self.key(identity)
        manifest = self._read_json(f"{key}.json")
        if manifest is None or manifest.get("identity") != identity:
            return False
        try:
            status = os.lstat(self._folder / f"{key}.plan")
        except OSError:
            return False
        size = manifest.get("size", status.st_size)  # older manifests do not have it
        return stat.S_ISREG(status.st_mode) and 0 < status.st_size == size

    def similar(self, identity: dict[str, Any]) -> dict[str, Any] | None:
        """Return the identity of a kept engine that differs in the power mode alone, or None.

        It runs here as well, since the multiprocessors and all versions are the same; only its
        kernels were chosen at other clocks. The newest one is returned. No plan is read.
        """
        found = []
        for name, kept in self._kept():
            if kept != identity and without_mode(kept) == without_mode(identity) and self.has(kept):
                with contextlib.suppress(OSError):
                    found.append((os.lstat(self._folder / name).st_mtime_ns, name, kept))
        return max(found, key=lambda each: each[:2])[2] if found else None

    def identities(self) -> list[dict[str, Any]]:
        """Return the identity of every plan that was built; no plan is read."""
        return [kept for _, kept in self._kept()]

    def load(self, identity: dict[str, Any]) -> tuple[bytes, dict[str, Any]] | None:
        """Return the plan and its notes, or None if it has to be built.

        Damaged files are renamed.
        """
        key = self.key(identity)
        plan, manifest = self._read(f"{key}.plan"), self._read_json(f"{key}.json")
        if plan is None and manifest is None:
            return None
        if (
            plan is not None
            and manifest is not None
            and manifest.get("identity") == identity
            and manifest.get("sha256") == _sha256(plan)
        ):
            notes = manifest.get("notes")
            return plan, notes if isinstance(notes, dict) else {}
        for name in (f"{key}.plan", f"{key}.json"):
            with contextlib.suppress(OSError):
                os.replace(self._folder / name, self._folder / f"{name}.damaged")
        return None

    def keep(self, identity: dict[str, Any], plan: bytes, notes: dict[str, Any]) -> None:
        """Keep a plan, and forget a failure of its build; others see it once it is complete."""
        key = self.key(identity)
        self._write(f"{key}.plan", plan)
        manifest = {
            "format": FORMAT,
            "identity": identity,
            "sha256": _sha256(plan),
            "size": len(plan),
            "notes": notes,
        }
        self._write(f"{key}.json", json.dumps(manifest, indent=1).encode())
        with contextlib.suppress(FileNotFoundError):
            (self._folder / f"{key}.failed.json").unlink()

    def discard(self, identity: dict[str, Any]) -> None:
        """Remove a plan."""
        for end in ("json", "plan"):
            with contextlib.suppress(OSError):
                (self._folder / f"{self.key(identity)}.{end}").unlink()

    def failure(self, identity: dict[str, Any]) -> str | None:
        """Return why this build failed before, or None if it did not."""
        found = self._read_json(f"{self.key(identity)}.failed.json")
        reason = (
            found.get("reason") if found is not None and found.get("identity") == identity else None
        )
        return reason if isinstance(reason, str) else None

    def remember_failure(self, identity: dict[str, Any], reason: str) -> None:
        """Let this build count as impossible from now on, so that it is not tried again."""
        self._write(
            f"{self.key(identity)}.failed.json",
            json.dumps({"identity": identity, "reason": reason}, indent=1).encode(),
        )

    def mark(self, identity: dict[str, Any]) -> dict[str, Any] | None:
        """Return what `keep_mark` kept, or None."""
        return self._read_json(self.mark_path(identity).name)

    def keep_mark(self, identity: dict[str, Any], mark: dict[str, Any]) -> None:
        """Mark an engine as being built."""
        self._write(self.mark_path(identity).name, json.dumps(mark).encode())

    def remove_mark(self, identity: dict[str, Any]) -> None:
        """Remove the mark of an engine that is not being built any more."""
        with contextlib.suppress(OSError):
            self.mark_path(identity).unlink()

    def marks(self) -> dict[Path, dict[str, Any]]:
        """Return every mark that can be read, by its file."""
        found = {path: self._read_json(path.name) for path in self._folder.glob("*.building")}
        return {path: mark for path, mark in found.items() if mark is not None}

    def mark_path(self, identity: dict[str, Any]) -> Path:
        """Return the file that marks an engine as being built."""
        return self._folder / f"{self.key(identity)}.building"

    def timings(self, host: BuildHost) -> bytes:
        """Return the builder's earlier timings on this device; empty if there are none."""
        return self._read(self._timing_name(host)) or b""

    def keep_timings(self, host: BuildHost, timings: bytes) -> None:
        """Keep the builder's timings for the next build on this device."""
        self._write(self._timing_name(host), timings)

    def keep_json(self, name: str, data: dict[str, Any]) -> None:
        """Keep intermediate results, such as ranges.

        The name consists of letters, digits, dots and dashes.
        """
        self._write(f"{_plain(name)}.json", json.dumps(data).encode())

    def load_json(self, name: str) -> dict[str, Any] | None:
        """Return what `keep_json` kept, or None."""
        return self._read_json(f"{_plain(name)}.json")

    def _kept(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the name of each manifest that its identity belongs to, and that identity."""
        try:
            names = os.listdir(self._folder)
        except OSError:
            return
        for name in names:
            if _MANIFEST.fullmatch(name):
                kept = (self._read_json(name) or {}).get("identity")
                if isinstance(kept, dict) and name == f"{self.key(kept)}.json":
                    yield name, kept

    def _timing_name(self, host: BuildHost) -> str:
        return f"{_sha256(canonical(asdict(host)))}.timing"

    def _read(self, name: str) -> bytes | None:
        return _read_file(self._folder / name)

    def _read_json(self, name: str) -> dict[str, Any] | None:
        return _json(self._read(name))

    def _write(self, name: str, content: bytes) -> None:
        """Write a new file and rename it; a link of that name is replaced, not followed."""
        with (
            self._storing(),
            tempfile.NamedTemporaryFile(dir=self._folder, prefix=".new-", delete=False) as file,
        ):
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, self._folder / name)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(file.name)
                raise

    @contextlib.contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"cannot keep an engine in {self._folder} ({error.strerror or error}): "
                "give a folder with room"
            ) from error


def _read_file(path: Path) -> bytes | None:
    """Return the content of a regular file, not larger than a plan; None for anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            return file.read()
        except OSError:
            return None


def _json(content: bytes | None) -> dict[str, Any] | None:
    try:
        data = None if content is None else json.loads(content)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _plain(name: str) -> str:
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9.-]*", name):
        raise StorageError(
            f"{name!r} is no name for a file of the engine cache: "
            "give letters, digits, dots and dashes"
        )
    return name


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
