from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import StorageError
from envs.runtimes.tensorrt.cache import EngineCache
from envs.runtimes.tensorrt.spec import BuildHost, BuildOptions, EngineSpec, identity
from envs.spec import Kind

HOST = BuildHost("10.3.0", "Orin", "8.7", 16, "MAXN")
SPEC = EngineSpec(Kind.DLA, "int8", 4, True, True)
OPTIONS = BuildOptions()
NETWORK = "ab" * 32
IDENTITY = identity(NETWORK, SPEC, HOST, OPTIONS)


@pytest.fixture
def kept(tmp_path: Path) -> EngineCache:
    cache = EngineCache(tmp_path / "engines")
    cache.keep(IDENTITY, b"plan" * 1000, {"changes": ["one"]})
    return cache


def plan_of(
    cache: EngineCache, folder: Path, ending: str = "plan", of: dict[str, Any] = IDENTITY
) -> Path:
    return folder / "engines" / f"{cache.key(of)}.{ending}"


def test_what_was_kept_is_found_by_another_process(kept: EngineCache, tmp_path: Path) -> None:
    assert EngineCache(tmp_path / "engines").load(IDENTITY) == (
        b"plan" * 1000,
        {"changes": ["one"]},
    )


@pytest.mark.parametrize(
    "other",
    [
        identity("cd" * 32, SPEC, HOST, OPTIONS),
        identity(NETWORK, replace(SPEC, batch=2), HOST, OPTIONS),
        identity(NETWORK, replace(SPEC, precision="fp16"), HOST, OPTIONS),
        identity(NETWORK, replace(SPEC, kind=Kind.TENSOR_CORES), HOST, OPTIONS),
        identity(NETWORK, replace(SPEC, native_io=False), HOST, OPTIONS),
        identity(NETWORK, SPEC, replace(HOST, tensorrt="10.7.0"), OPTIONS),
        identity(NETWORK, SPEC, replace(HOST, gpu="Orin NX"), OPTIONS),
        identity(NETWORK, SPEC, replace(HOST, sm=8), OPTIONS),
        identity(NETWORK, SPEC, replace(HOST, power_mode="30W"), OPTIONS),
        identity(NETWORK, SPEC, HOST, BuildOptions(level=5)),
        identity(NETWORK, SPEC, HOST, BuildOptions(workspace_mib=64)),
    ],
)
def test_nothing_else_finds_it(kept: EngineCache, other: dict[str, Any]) -> None:
    assert kept.key(other) != kept.key(IDENTITY)
    assert kept.load(other) is None


def test_samples_matter_to_engines_that_they_calibrate() -> None:
    first, second = {"samples": "ab" * 32}, {"samples": "cd" * 32}
    half = EngineSpec(Kind.TENSOR_CORES, "fp16", 4, False)
    own = EngineSpec(Kind.TENSOR_CORES, "int8", 4, False, own_types=True)
    for spec in (half, own):
        found = [identity(NETWORK, spec, HOST, OPTIONS, each) for each in (first, second)]
        assert found[0] == found[1]
    found = [identity(NETWORK, SPEC, HOST, OPTIONS, each) for each in (first, second)]
    assert found[0] != found[1]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 3999), st.integers(1, 255))
def test_any_flipped_byte_is_found(position: int, change: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = EngineCache(folder / "engines")
        cache.keep(IDENTITY, b"plan" * 1000, {})
        content = bytearray(plan_of(cache, folder).read_bytes())
        content[position] ^= change
        plan_of(cache, folder).write_bytes(content)
        assert cache.load(IDENTITY) is None


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "manifest cut", "manifest of another", "no manifest", "no plan"]
)
def test_what_is_damaged_is_moved_away_and_can_be_built_again(
    kept: EngineCache, tmp_path: Path, damage: str
) -> None:
    plan, manifest = plan_of(kept, tmp_path), plan_of(kept, tmp_path, "json")
    if damage == "cut":
        plan.write_bytes(plan.read_bytes()[:-1])
    elif damage == "empty":
        plan.write_bytes(b"")
    elif damage == "manifest cut":
        manifest.write_text(manifest.read_text()[:30])
    elif damage == "manifest of another":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"identity": {}}))
    else:
        (manifest if damage == "no manifest" else plan).unlink()
    assert kept.load(IDENTITY) is None
    assert not plan.exists()
    assert not manifest.exists()
    kept.keep(IDENTITY, b"again", {})
    assert kept.load(IDENTITY) == (b"again", {})


def test_links_are_not_followed(kept: EngineCache, tmp_path: Path) -> None:
    plan, secret = plan_of(kept, tmp_path), tmp_path / "secret"
    secret.write_bytes(plan.read_bytes())
    plan.unlink()
    plan.symlink_to(secret)
    assert kept.load(IDENTITY) is None
    plan.symlink_to(secret)
    kept.keep(IDENTITY, b"new", {})
    assert secret.read_bytes() == b"plan" * 1000  # the link was replaced, not written through
    assert not plan.is_symlink()


def test_a_pipe_in_the_place_of_a_plan_does_not_hang(kept: EngineCache, tmp_path: Path) -> None:
    plan = plan_of(kept, tmp_path)
    plan.unlink()
    os.mkfifo(plan)
    assert kept.load(IDENTITY) is None


def test_nothing_in_the_folder_is_unpickled(kept: EngineCache, tmp_path: Path) -> None:
    import pickle

    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    plan_of(kept, tmp_path, "json").write_bytes(pickle.dumps(Attack()))
    assert kept.load(IDENTITY) is None
    assert not (tmp_path / "ran").exists()


def test_a_failed_build_is_remembered_until_it_is_forgotten(
    kept: EngineCache, tmp_path: Path
) -> None:
    other = identity(NETWORK, replace(SPEC, batch=8), HOST, OPTIONS)
    assert kept.failure(other) is None
    kept.remember_failure(other, "no implementation for node x")
    assert EngineCache(tmp_path / "engines").failure(other) == "no implementation for node x"
    assert kept.failure(IDENTITY) is None
    plan_of(kept, tmp_path, "failed.json", other).unlink()
    assert kept.failure(other) is None
    assert kept.load(IDENTITY) is not None


def test_a_build_that_succeeds_ends_the_memory_of_a_failure(kept: EngineCache) -> None:
    kept.remember_failure(IDENTITY, "out of memory")
    kept.keep(IDENTITY, b"plan", {})
    assert kept.failure(IDENTITY) is None


def test_timings_belong_to_version_gpu_and_power_mode(kept: EngineCache) -> None:
    kept.keep_timings(HOST, b"timings")
    assert kept.timings(HOST) == b"timings"
    for other in (
        replace(HOST, tensorrt="10.7.0"),
        replace(HOST, power_mode="15W"),
        replace(HOST, sm=6),
        replace(HOST, gpu="Orin NX"),
    ):
        assert kept.timings(other) == b""


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    kept: EngineCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = sorted(os.listdir(tmp_path / "engines"))
    with pytest.raises(StorageError, match=r"No space left on device.*give a folder with room"):
        kept.keep(identity(NETWORK, replace(SPEC, batch=8), HOST, OPTIONS), b"plan", {})
    assert sorted(os.listdir(tmp_path / "engines")) == before


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot keep engines in"):
        EngineCache(tmp_path / "file")


def _keep_often(folder: str, number: int) -> None:
    cache = EngineCache(Path(folder))
    for _ in range(15):
        cache.keep(IDENTITY, bytes([number]) * 50_000, {"by": number})


def test_processes_that_write_the_same_engine_never_leave_half_of_one(tmp_path: Path) -> None:
    """A reader between the two files finds a pair that does not match, and builds again."""
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_keep_often, args=(str(tmp_path), number)) for number in (1, 2)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    found = EngineCache(tmp_path).load(IDENTITY)
    assert found is None or found[0] == bytes([found[1]["by"]]) * 50_000
