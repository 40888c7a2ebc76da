"""A controller of a board some of whose engines are not ready, or failed before."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.belief.prior import starting_configuration
from envs.graph.layers import read_network_and_layers
from envs.runtimes.serving.readiness import Readiness
from envs.runtimes.simulated import SimulatedRuntime
from envs.simulator.machine import device_of
from envs.spec import Configuration, ConfigurationSpace, Objective, Place, workload_of
from tests.envs.runtimes.serving.workshop import RIGHT, Workshop
from tuner.control.build import Assembled, controller_of
from tuner.control.controller import ControlOptions
from tuner.control.failed_before import MOST_RESTARTS, FailedBefore
from tuner.control.guard import Phase
from tuner.device import Device
from tuner.folders import reference_bundle
from tuner.model_at import models_of

CUDA, TENSOR = 0, 1
ON_TENSOR = Configuration((((0, 0), (1, 1), (0, 0), (0, 0)),))
ON_CUDA = Configuration((((1, 1), (0, 0), (0, 0), (0, 0)),))


class Board:
    """A simulated board with engines for CUDA cores alone; others have to be made ready."""

    def __init__(self, network: Path, folder: Path) -> None:
        described, layers = read_network_and_layers(network)
        device = device_of("agx_orin_64", "MAXN").with_precisions(["fp32", "fp16", "int8"])
        self.space = ConfigurationSpace(device, workload_of([described]), 2, (1, 4))
        self.folder, self.model_at = folder, models_of(self.space, (layers,))
        self.readiness = Readiness(self.space, Workshop(self.space), lambda place: RIGHT, 0.9)
        self.readiness.make_ready(Place(0, CUDA, 1))

    def controlled(self, engines: bool = True) -> Assembled:
        """Return a controller; without `engines` nobody has to build any."""
        device = Device(
            SimulatedRuntime(self.model_at((float("inf"),))),
            self.model_at,
            agreements=self.readiness.agreements,
            readiness=self.readiness if engines else None,
        )
        bundle, options = reference_bundle(), ControlOptions(1.0)
        return controller_of(device, {"p99_ms": 50.0}, None, bundle, self.folder, options)


@pytest.fixture
def board(small_onnx: Path, tmp_path: Path) -> Board:
    return Board(small_onnx, tmp_path)


def test_where_everything_failed_before_only_what_is_ready_is_proposed(board: Board) -> None:
    failed_before = FailedBefore.of(board.folder, board.space)
    failed_before.restarts = MOST_RESTARTS - 1
    failed_before.starting_anew({(0, column): "it refuses" for column in range(4)})
    made = board.controlled()
    assert made.decider is not None
    proposed = made.decider.experiment()
    assert proposed is not None
    assert board.readiness.missing(proposed) == []
    assert made.guard.refusal(ON_TENSOR)
    assert not made.guard.refusal(ON_CUDA)


def test_without_power_what_is_refused_by_now_does_not_serve(board: Board) -> None:
    board.readiness.make_ready(Place(0, TENSOR, 1))
    made = board.controlled()
    controller, guard = made.controller, made.guard
    controller.step()
    guard.good, controller._monitors.power.unreadable = ON_TENSOR, True
    controller._monitors.failures.failed = guard.safe
    choice = controller._choose()
    assert (choice.configuration, choice.phase) == (ON_TENSOR, Phase.SAFE)
    board.readiness.leave_out([(0, TENSOR)])
    controller._conditions.look()
    assert controller._choose().configuration == ON_CUDA


def test_where_all_engines_are_ready_the_space_is_searched_once(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, objective = board.model_at((float("inf"),)), Objective((50.0,))
    expected = starting_configuration(model, objective)
    monkeypatch.setattr("tuner.control.build.starting_configuration", None)  # a second search
    made = board.controlled(engines=False)
    assert made.decider is not None
    assert made.controller._promised == made.decider.start == expected
