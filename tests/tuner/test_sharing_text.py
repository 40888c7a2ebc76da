"""The answer says what several networks get beside each other, and where the numbers come from."""

from __future__ import annotations

import math
from pathlib import Path

from envs.problems.problem import Problem
from envs.spec import Objective
from envs.testing.problems import measurement, small_space, unrelated_model
from tuner.device import open_device
from tuner.placement.measures import rates_alone
from tuner.sharing_text import sharing_lines


def problem(tenants: int) -> Problem:
    space = small_space(tenants=tenants, accelerators=("cuda", "tensor"))
    free = Objective((math.inf,) * tenants)
    return Problem(space, space.catalogue, free, space.default(), model=unrelated_model(space))


def test_two_networks_at_half_their_speed_are_worth_one_device() -> None:
    given = problem(2)
    assert given.model is not None
    alone = rates_alone(given.model, given.objective)
    lines = sharing_lines(given, measurement((0.5 * alone).tolist(), [1.0, 1.0]))
    assert "worth 1.00 devices" in lines[0]
    assert "2.00 times slower" in lines[0]
    assert "fairness 1.00" in lines[0]
    assert "not measured" in lines[1]


def test_a_network_alone_shares_nothing() -> None:
    assert sharing_lines(problem(1), measurement([10.0], [1.0])) == []


def test_networks_with_mappings_are_compared_with_themselves_alone(
    small_onnx: Path, other_onnx: Path
) -> None:
    with open_device(
        [str(small_onnx), str(other_onnx)],
        runtime="simulated",
        accelerators=["tensor", "dla0"],
        mappings=["other:dla0_to_1_tensor"],
        allow_uncalibrated=True,
        max_instances=1,
        batches=[1],
    ) as device:
        assert device.model is not None
        start = device.space.default()
        free = Objective((math.inf, math.inf))
        given = Problem(device.space, [start], free, start, model=device.model)
        assert "small " in sharing_lines(given, measurement([10.0, 5.0], [1.0, 1.0]))[1]
