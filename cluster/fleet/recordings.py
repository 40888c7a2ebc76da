"""Record on many boards, and train one policy in twins of all of them (simulated boards)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cluster.fleet.crew import Crew, ray_at
from cluster.fleet.options import FleetOptions
from envs.errors import OptionError
from envs.files import replacing
from envs.problems.problem_batch import ProblemBatch
from envs.problems.simulated_world import SimulatedWorld
from envs.problems.world import World
from envs.runtimes.recording import RecordOptions, record
from envs.runtimes.simulated import SimulatedRuntime
from envs.traces.writer import TraceWriter
from tuner.agents.twin_problems import TwinProblems
from tuner.device import open_device
from tuner.options import ServeOptions
from tuner.parts import ALL
from tuner.plan import PlanOptions, planned
from tuner.policy.device_twin import DeviceTwin
from tuner.versions import versions


class Board(NamedTuple):
    """Name a board of the fleet: what it is, and which of its kind."""

    kind: str
    number: int

    @property
    def name(self) -> str:
        """Return the name of its recording."""
        return f"{self.number:03d}-{self.kind}"


@dataclass(frozen=True)
class Networks:
    """Carry ONNX files to boards, which need not share a disk."""

    files: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, paths: Sequence[str]) -> Networks:
        """Read the files; OptionError names one that cannot be read."""
        try:
            return cls(tuple((Path(path).name, Path(path).read_bytes()) for path in paths))
        except OSError as error:
            raise OptionError(f"{error.filename} cannot be read: {error.strerror}") from error


class Recorder:
    """Records on one board after the other, each with a truth of its own (simulated).

    Args:
        count: configurations of a recording.
        seed: of the boards' truths, of the noise and of the plans.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, seed

    def __call__(self, common: Networks, task: Board) -> bytes:
        """Return the recording of a board, as Parquet."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in common.files:
                Path(folder, name).write_bytes(content)
            paths = [str(Path(folder, name)) for name, _ in common.files]
            serve = ServeOptions(network=paths, runtime="simulated", board=task.kind)
            out = Path(folder, "recorded.parquet")
            with open_device(serve, engines=ALL) as device:
                self._record(device.model, task, out)
            return out.read_bytes()

    def _record(self, model: Any, board: Board, out: Path) -> None:
        truth, noise, plan = np.random.SeedSequence([self._seed, board.number]).spawn(3)
        runtime = SimulatedRuntime(
            model,
            model.drawn(np.random.default_rng(truth), 1),
            seed=int(noise.generate_state(1)[0]),
        )
        options = PlanOptions("lhs", self._count, int(plan.generate_state(1)[0]))
        provenance = {
            "plan": asdict(options),
            "runtime": "simulated",
            "origin": runtime.origin.value,
            "machine": model.space.device.to_dict(),
            "versions": versions(),
        }
        with TraceWriter(out, model.space, provenance) as writer:
            record(runtime, planned(model.space, options), writer, RecordOptions())
            writer.publish(complete=True)


class FleetRecordings:
    """Problems drawn in twins of the recordings of many boards (simulated).

    Args:
        fleet: its boards and workers.
        networks: ONNX files of the tenants.
        run: keeps the recordings; those that are there are not made again.
        problems, seed, jobs: of the draw.
    """

    twin: DeviceTwin | None = None

    def __init__(
        self,
        fleet: FleetOptions,
        networks: Sequence[str],
        run: Path,
        problems: int,
        seed: int,
        jobs: int,
    ) -> None:
        kinds = fleet.boards or []
        if not networks:
            raise OptionError("fleet.boards needs network=[...]: what the boards are to serve")
        if problems < len(kinds):
            raise OptionError(f"problems={problems} must be at least one a board")
        boards = [Board(kind, number) for number, kind in enumerate(kinds)]
        files = record_boards(boards, Networks.of(networks), fleet, run / "recordings", seed)
        shares = [len(part) for part in np.array_split(np.arange(problems), len(boards))]
        self._twins = [
            TwinProblems(str(file), networks, share, seed + board.number, jobs)
            for file, share, board in zip(files, shares, boards, strict=True)
        ]
        self._boards = boards
        self.sentence = f"training on {len(boards)} boards, recorded (simulated):\n" + "\n".join(
            each.sentence for each in self._twins
        )
        self.identity: dict[str, Any] = {"boards": [each.identity for each in self._twins]}
        self.provenance: dict[str, Any] = {"boards": [each.provenance for each in self._twins]}

    def world(self, run: Path) -> World:
        """Draw the problems of each twin, or read those that the run drew before."""
        parts: list[ProblemBatch] = []
        for board, twin in zip(self._boards, self._twins, strict=True):
            folder = run / "twins" / board.name
            folder.mkdir(parents=True, exist_ok=True)
            parts.append(twin.world(folder).problems)
        return SimulatedWorld.of(ProblemBatch.stack(parts))


def record_boards(
    boards: Sequence[Board], networks: Networks, fleet: FleetOptions, folder: Path, seed: int
) -> list[Path]:
    """Record on each board that has no recording in the folder, and return all files.

    Raises:
        RuntimeFault: workers die one after the other, or a recording fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{each.name}.parquet" for each in boards]
    missing = [at for at, file in enumerate(files) if not file.exists()]
    todo = [boards[at] for at in missing]
    if fleet.workers and todo:
        with ray_at(fleet):
            crew: Crew[Board, bytes] = Crew(partial(Recorder, fleet.recorded, seed), fleet)
            found = crew.do(networks, todo)
    else:
        here = Recorder(fleet.recorded, seed)
        found = [here(networks, each) for each in todo]
    for at, content in zip(missing, found, strict=True):
        with replacing(files[at]) as file:
            file.write(content)
    return files
