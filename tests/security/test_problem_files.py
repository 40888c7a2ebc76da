"""Files of drawn problems in a training folder of an attacker."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import TraceError
from envs.problems.problem_batch import ProblemBatch
from envs.problems.simulated_world import SimulatedWorld
from tests.security.attacks import (
    Payload,
    array_bytes,
    claiming,
    little_memory,
    members_of,
    refused,
    untouched,
    write_zip,
)


@pytest.fixture(scope="module")
def problems(simulated_world: SimulatedWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("problems") / "problems.npz"
    simulated_world.problems.save(str(path))
    return path


def test_problems_survive_their_file(problems: Path, simulated_world: SimulatedWorld) -> None:
    again = ProblemBatch.load(str(problems))
    for each in fields(ProblemBatch):
        one, other = getattr(simulated_world.problems, each.name), getattr(again, each.name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other, equal_nan=one.dtype != bool)


def of_objects(array: np.ndarray, marker: Path) -> bytes:
    return array_bytes(np.array([Payload(marker)], dtype=object), pickled=True)


CHANGES: dict[str, Callable[[np.ndarray, Path], bytes | None]] = {
    "objects": of_objects,
    "a pickle": lambda array, marker: pickle.dumps(Payload(marker)),
    "missing": lambda array, marker: None,
    "cut": lambda array, marker: array_bytes(array)[:-1],
    "claimed": lambda array, marker: claiming((2**40,)),
    "one row less": lambda array, marker: array_bytes(array[1:]),
    "another type": lambda array, marker: array_bytes(array.astype(np.float64)),
    "text": lambda array, marker: array_bytes(np.array(["x"])),
    "flat": lambda array, marker: array_bytes(array.ravel()[None]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_damaged_problems_are_refused(problems: Path, tmp_path: Path, change: str) -> None:
    members = members_of(problems)
    for name in members:
        content = CHANGES[change](np.load(io.BytesIO(members[name])), tmp_path / "ran")
        altered: dict[str, Any] = {
            key: value for key, value in (members | {name: content}).items() if value is not None
        }
        path = write_zip(tmp_path / "problems.npz", altered)
        with (
            untouched(tmp_path),
            little_memory(500),
            refused("is damaged or from another version", TraceError),
        ):
            ProblemBatch.load(str(path))


def test_a_zip_bomb_of_problems_is_not_unpacked(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "problems.npz",
        {"mean.npy": claiming((1 << 26,), content=bytes(1 << 28))},
        zipfile.ZIP_DEFLATED,
    )
    with little_memory(100), refused("is damaged", TraceError):
        ProblemBatch.load(str(path))


def test_problems_are_not_written_through_a_link(
    simulated_world: SimulatedWorld, tmp_path: Path
) -> None:
    for name, target in (("problems.npz", "appears"), ("again.npz", "precious")):
        (tmp_path / name).symlink_to(tmp_path / target)
    (tmp_path / "precious").write_text("keep")
    with untouched(tmp_path, (tmp_path / "problems.npz", tmp_path / "again.npz")):
        simulated_world.problems.save(str(tmp_path / "problems.npz"))
        simulated_world.problems.save(str(tmp_path / "again.npz"))
    assert len(ProblemBatch.load(str(tmp_path / "problems.npz"))) == len(simulated_world.problems)
