"""Engines in a folder that an attacker may have changed are not trusted."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from envs.errors import StorageError
from envs.runtimes.tensorrt.cache import MAX_BYTES, EngineCache
from envs.runtimes.tensorrt.spec import BuildHost, BuildOptions, EngineSpec, identity
from envs.spec import Kind
from tests.security.attacks import Payload, little_memory, refused, untouched

HOST = BuildHost("10.3.0", "Orin", "8.7", 16, "MAXN")
IDENTITY = identity("ab" * 32, EngineSpec(Kind.DLA, "int8", 4, True, True), HOST, BuildOptions())
ENDINGS = ("plan", "json", "failed.json", "building")


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    cache = EngineCache(tmp_path / "engines")
    cache.keep(IDENTITY, b"plan", {"changes": ["one"]})
    cache.keep_timings(HOST, b"timings")
    return cache


def named(cache: EngineCache, tmp_path: Path, ending: str) -> Path:
    if ending == "timing":
        return next((tmp_path / "engines").glob("*.timing"))
    return tmp_path / "engines" / f"{cache.key(IDENTITY)}.{ending}"


@pytest.mark.parametrize("ending", [*ENDINGS, "timing"])
def test_no_file_is_read_or_written_through_a_link(
    cache: EngineCache, tmp_path: Path, ending: str
) -> None:
    cache.keep_timings(HOST, b"timings")
    if ending == "failed.json":
        cache.remember_failure(IDENTITY, "no memory")
    if ending == "building":
        cache.keep_mark(IDENTITY, {"pid": 1})
    path = named(cache, tmp_path, ending)
    outside = tmp_path / "outside"
    outside.write_bytes(path.read_bytes())  # even a link to the right content
    path.unlink()
    path.symlink_to(outside)
    before = outside.read_bytes()
    found = {
        "timing": lambda: cache.timings(HOST),
        "failed.json": lambda: cache.failure(IDENTITY),
        "building": lambda: cache.mark(IDENTITY),
    }.get(ending, lambda: cache.load(IDENTITY))()
    assert not found
    path.unlink(missing_ok=True)
    path.symlink_to(outside)
    cache.keep(IDENTITY, b"other", {})
    cache.keep_timings(HOST, b"other")
    cache.remember_failure(IDENTITY, "other")
    cache.keep_mark(IDENTITY, {"pid": 2})
    assert outside.read_bytes() == before
    assert not path.is_symlink()


def test_the_target_of_a_dangling_link_is_not_created(cache: EngineCache, tmp_path: Path) -> None:
    for ending in ENDINGS:
        path = named(cache, tmp_path, ending)
        path.unlink(missing_ok=True)
        path.symlink_to(tmp_path / "appears")
    with untouched(tmp_path, (tmp_path / "engines",)):
        assert cache.load(IDENTITY) is None
        cache.keep(IDENTITY, b"plan", {})
        cache.remember_failure(IDENTITY, "why")
        cache.keep_mark(IDENTITY, {"pid": 2})
    assert cache.load(IDENTITY) == (b"plan", {})


def test_a_huge_plan_is_not_read(cache: EngineCache, tmp_path: Path) -> None:
    plan = named(cache, tmp_path, "plan")
    with plan.open("r+b") as file:
        file.truncate(MAX_BYTES + 1)  # takes no room on the disk
    with little_memory(500):
        assert cache.load(IDENTITY) is None


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"", b"[]", b"null", b"9" * 5000]
)
@pytest.mark.parametrize("ending", ["json", "failed.json"])
def test_an_invalid_manifest_is_not_used(
    cache: EngineCache, tmp_path: Path, ending: str, content: bytes
) -> None:
    named(cache, tmp_path, ending).write_bytes(content)
    assert cache.failure(IDENTITY) is None
    assert (cache.load(IDENTITY) is None) == (ending == "json")


@pytest.mark.parametrize("notes", [None, "text", [1], 3])
def test_notes_of_a_wrong_type_are_left_out(cache: EngineCache, tmp_path: Path, notes: Any) -> None:
    manifest = named(cache, tmp_path, "json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"notes": notes}))
    assert cache.load(IDENTITY) == (b"plan", {})


@pytest.mark.parametrize(
    "name", ["../escaped", "/tmp/escaped", "a/b", "..", "new\nline", "", "nul\0"]
)
def test_names_that_are_paths_are_refused(cache: EngineCache, tmp_path: Path, name: str) -> None:
    with untouched(tmp_path):
        with refused("no name for a file", StorageError):
            cache.keep_json(name, {})
        with refused("no name for a file", StorageError):
            cache.load_json(name)


def test_nothing_in_the_folder_is_unpickled(cache: EngineCache, tmp_path: Path) -> None:
    for ending in ENDINGS:
        named(cache, tmp_path, ending).write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    cache.load(IDENTITY), cache.failure(IDENTITY), cache.timings(HOST)
    assert not (tmp_path / "ran").exists()


def test_a_folder_in_place_of_a_plan_is_not_used(cache: EngineCache, tmp_path: Path) -> None:
    plan = named(cache, tmp_path, "plan")
    plan.unlink()
    plan.mkdir()
    os.mkfifo(tmp_path / "engines" / f"{'0' * 64}.failed.json")
    assert cache.load(IDENTITY) is None
    cache.keep(IDENTITY, b"again", {})
    assert cache.load(IDENTITY) == (b"again", {})
