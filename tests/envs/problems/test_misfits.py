"""Misfits: each kind departs as its name says, and none but the drawn one does."""

from __future__ import annotations

import numpy as np
import pytest

from envs.errors import OptionError
from envs.problems.draw import draw_problem
from envs.problems.draw_options import DrawOptions
from envs.problems.misfits import (
    GROUPS,
    HELD_OUT,
    KINDS,
    NUMBERS,
    TRAIN,
    Misfit,
    draw_misfit,
    kinds_of,
)
from envs.simulator.device_model import DeviceModel
from envs.simulator.tables import COSTS, Contexts
from envs.simulator.tails import TAIL_WEIGHT

AGX = DrawOptions(boards=["agx_orin_64"], networks=["resnet18"], modes=["MAXN"])
GPU_S, DLA_S = COSTS.index("gpu_s"), COSTS.index("dla_s")


def model_of(options: DrawOptions = AGX) -> DeviceModel:
    return draw_problem(options, np.random.default_rng(0)).model


def drawn(kind: str, model: DeviceModel, count: int = 40) -> list[Misfit]:
    options = DrawOptions(misfits=[kind])
    return [draw_misfit(options, model, np.random.default_rng(seed)) for seed in range(count)]


def ratios(misfit: Misfit, truths: Contexts) -> np.ndarray:
    """Return times with the misfit over those without, [2, C, T, X, Z], on GPU and DLA."""
    rows = [GPU_S, DLA_S]
    with np.errstate(invalid="ignore"):
        return misfit.apply(truths).table[rows] / truths.table[rows]


def test_a_far_worse_accelerator_is_slow_with_everything_and_alone() -> None:
    model = model_of()
    truths = model.drawn(np.random.default_rng(1), 3)
    seen = set()
    for misfit in drawn("far_worse", model):
        gpu, dla = ratios(misfit, truths)
        slow = tuple(np.flatnonzero(gpu[0, 0, :, 0] > 1.001))
        seen.add(slow)
        factor = gpu[0, 0, slow[0], 0]
        assert 3.0 <= factor <= 10.0
        expected = np.where(np.isin(np.arange(4), slow), factor, 1.0)
        assert gpu == pytest.approx(np.broadcast_to(expected[:, None], gpu.shape))
        # A position on the GPU spends nothing on a DLA.
        assert dla[:, :, 2:] == pytest.approx(
            np.broadcast_to(expected[2:, None], dla[:, :, 2:].shape)
        )
    assert seen == {(0,), (1,), (2, 3)}


def test_engines_depart_by_themselves_and_all_truths_of_a_device_have_the_same() -> None:
    model = model_of()
    truths = model.drawn(np.random.default_rng(1), 3)
    logs = np.array([np.log(ratios(each, truths)[0]) for each in drawn("departing_engines", model)])
    assert logs == pytest.approx(np.broadcast_to(logs[:, :1], logs.shape))
    assert (logs[..., 2, :] == logs[..., 3, :]).all(), "both DLA cores run the same engine"
    alone = logs[:, 0, 0, :3]
    assert 0.3 < alone.std() < 0.6
    by_device = alone.reshape(len(alone), -1).std(axis=1)
    assert by_device.min() > 0.15
    assert by_device.max() < 0.9
    columns = alone.reshape(len(alone), -1)
    others = np.corrcoef(columns, rowvar=False)[~np.eye(columns.shape[1], dtype=bool)]
    assert abs(others.mean()) < 0.05


def test_a_device_that_is_as_believed_has_the_usual_tail_alone() -> None:
    assert Misfit().numbers.tolist() == [TAIL_WEIGHT, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("kind", "number", "lowest", "highest"),
    [
        ("heavy_tails", "tail", 0.2, 0.5),
        ("drift", "drift", 0.03, 0.12),
        ("neighbour_bursts", "burst", 0.1, 0.4),
        ("lagging_sensor", "lag", 0.3, 0.8),
    ],
)
def test_misfits_of_windows_are_one_number_and_leave_the_truth_alone(
    kind: str, number: str, lowest: float, highest: float
) -> None:
    model = model_of()
    truths = model.nominal()
    found = drawn(kind, model)
    numbers = np.array([each.numbers for each in found])
    column = NUMBERS.index(number)
    assert numbers[:, column].min() >= lowest
    assert numbers[:, column].max() <= highest
    assert np.ptp(numbers[:, column]) > (highest - lowest) / 2
    assert (np.delete(numbers, column, axis=1) == np.delete(Misfit().numbers, column)).all()
    assert found[0].apply(truths) is truths
    assert found[0].width == 1.0


def test_a_wider_truth_is_the_one_of_twice_the_width() -> None:
    rng, spreads = np.random.default_rng(0), []
    for misfits in ([], ["wider"]):
        options = DrawOptions(
            boards=["orin_nano_8"], modes=["15W"], networks=["resnet18"], misfits=misfits
        )
        problems = [draw_problem(options, rng) for _ in range(100)]
        both = [(each.truth, each.model.nominal()) for each in problems]
        times = np.array([[part.table[GPU_S, 0, 0, 1, 0] for part in pair] for pair in both])
        spreads.append(np.std(np.log(times[:, 0] / times[:, 1])))
    assert 1.6 < spreads[1] / spreads[0] < 2.5


def test_without_misfits_no_number_is_drawn_and_a_share_has_one() -> None:
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    assert draw_misfit(DrawOptions(), model_of(), rng).kind == ""
    assert rng.bit_generator.state == state
    options = DrawOptions(boards=["orin_nano_8"], misfits=["train"], misfit_share=0.25)
    model = model_of()
    kinds = [draw_misfit(options, model, rng).kind for _ in range(800)]
    assert 0.2 < np.mean([kind != "" for kind in kinds]) < 0.3
    assert set(kinds) - {""} == set(TRAIN)


def test_what_is_held_out_is_never_trained_and_names_are_checked() -> None:
    assert not set(TRAIN) & set(HELD_OUT)
    assert kinds_of(["train", "held_out"]) == list(KINDS)
    assert kinds_of(["drift", "train"])[0] == "drift"
    assert len(kinds_of(["drift", "train"])) == len(GROUPS["train"])
    with pytest.raises(OptionError, match=r"draw\.misfits=\['drfit'\]: 'drfit' must be one of"):
        DrawOptions(misfits=["drfit"])
    with pytest.raises(OptionError, match=r"draw\.misfit_share=2\.0 must lie in"):
        DrawOptions(misfit_share=2.0)


def test_a_drawn_problem_says_its_misfit_and_its_truth_has_it() -> None:
    options = DrawOptions(boards=["agx_orin_64"], networks=["resnet18"], misfits=["far_worse"])
    problem = draw_problem(options, np.random.default_rng(3))
    assert problem.misfit.kind == "far_worse"
    assert problem.misfit.log_times is not None
    known, true = (
        each.table[[GPU_S, DLA_S], 0, 0].sum(axis=0)
        for each in (problem.model.nominal(), problem.truth)
    )
    ratio = np.median(true / known, axis=1)
    slow = problem.misfit.log_times[0, 0, :, 0] > 0
    assert ratio[slow].min() > 2 * ratio[~slow].max()
