"""Worlds: the same problems for the same seed, what is held out, problems that can be solved."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

import envs.problems.simulated_world
from envs.catalog.boards import board
from envs.errors import ConfigurationError, OptionError
from envs.problems.draw import DrawnProblem, draw_problem
from envs.problems.draw_options import HELD_OUT_BOARDS, HELD_OUT_NETWORKS, DrawOptions
from envs.problems.limits import BAND_RATIO, held_out_band
from envs.problems.problem_batch import ProblemBatch
from envs.problems.simulated_world import DETECTABLE_SIGMAS, VARIANTS, SimulatedWorld, disturbed
from envs.problems.trace_world import TraceWorld
from envs.problems.world import Asked, starting_row
from envs.spec import Configuration, Objective, worst_margin
from envs.traces.reader import Trace

NANO = DrawOptions(boards=["orin_nano_8"], small_spaces=1.0)


def same(one: ProblemBatch, other: ProblemBatch) -> bool:
    return all(
        np.array_equal(
            getattr(one, each.name), getattr(other, each.name), equal_nan=each.name != "present"
        )
        for each in fields(ProblemBatch)
    )


def test_problems_depend_on_the_seed_alone_however_many_processes_draw_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(envs.problems.simulated_world, "PORTION", 2)
    # The processes inherit it: linear algebra with other threads than here gives the same bits.
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    told: list[int] = []
    alone, together = (
        SimulatedWorld(NANO, 5, 3, jobs=1),
        SimulatedWorld(NANO, 5, 3, jobs=2, progress=told.append),
    )
    assert told == [2, 2, 1]
    assert len(alone.problems) == len(alone.specs) == 5
    assert same(alone.problems, together.problems)
    assert [spec.objective for spec in alone.specs] == [spec.objective for spec in together.specs]
    assert not same(alone.problems, SimulatedWorld(NANO, 5, 4).problems)
    assert not same(alone.problems.take(np.array([0])), alone.problems.take(np.array([2]))), (
        "each portion has a generator of its own"
    )


MIXED = {
    "plain": 0.1,
    "tenants": [0.7, 0.3],
    "changed_boards": 0.5,
    "open_loop": 0.2,
    "small_spaces": 0.5,
}


def drawn(split: str, count: int = 80, **options: float) -> list[DrawnProblem]:
    rng = np.random.default_rng(5)
    chosen = DrawOptions(split=split, **(MIXED | options))  # type: ignore[arg-type]
    return [draw_problem(chosen, rng) for _ in range(count)]


def limits_of(problem: DrawnProblem) -> np.ndarray:
    every = np.array([*problem.objective.p99_ms, problem.objective.power_w])
    return every[np.isfinite(every)]


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_what_is_held_out_is_never_drawn_in_training_and_nothing_else_in_a_comparison(
    split: str,
) -> None:
    held_out = split == "held_out"
    problems = drawn(split)
    modules = {board(name).module for name in HELD_OUT_BOARDS}
    boards = {problem.model.space.device.name for problem in problems if problem.model.has_power}
    networks = {
        table.name.removesuffix("_like") for problem in problems for table in problem.model.networks
    }
    assert boards <= modules if held_out else not boards & modules
    assert networks <= set(HELD_OUT_NETWORKS) if held_out else not networks & set(HELD_OUT_NETWORKS)
    assert len(boards) == (2 if held_out else 4), "all of them are drawn now and then"
    assert len(networks) > 6
    limits = np.concatenate([limits_of(problem) for problem in problems])
    assert len(limits) > 100
    assert (held_out_band(np.floor(np.log(limits) / np.log(BAND_RATIO) + 1e-6)) == held_out).all()


def test_shares_are_those_asked_for() -> None:
    problems = drawn("train", 240)
    tenants = np.array([problem.model.space.shape[0] for problem in problems])
    plain = np.array([not problem.model.has_power for problem in problems])
    paced = np.array(
        [
            all(np.isfinite(each.rate_ips) for each in problem.model.space.workload.tenants)
            for problem in problems
        ]
    )
    for share, expected in ((tenants == 2, 0.3), (plain, 0.1), (paced, 0.2)):
        assert abs(share.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / 240)


@pytest.mark.parametrize(
    ("more", "tenants", "count"),
    [
        ({"tenants": [0.0, 1.0]}, 2, 2),
        ({"plain": 1.0}, 1, 4),
        ({"open_loop": 1.0}, 1, 3),
        ({"plain": 1.0, "tenants": [0.0, 1.0]}, 2, 3),
        ({"tenants": [0.5, 0.5]}, 2, 3),
        ({"tenants": [0.0, 0.0, 1.0]}, 3, 2),
        ({"plain": 1.0, "tenants": [0.0, 0.0, 0.0, 0.0, 1.0]}, 5, 2),
    ],
)
def test_every_kind_of_problem_can_be_solved(
    more: dict[str, float], tenants: int, count: int
) -> None:
    options = DrawOptions(boards=["orin_nano_8"], small_spaces=1.0, **more)  # type: ignore[arg-type]
    world = SimulatedWorld(options, count, 1)
    problems = world.problems
    assert problems.tenants == tenants
    assert problems.outcomes.shape[1] == VARIANTS
    for number, spec in enumerate(world.specs):
        one = problems.take(np.array([number]))
        placements = spec.placements
        spec.space.check(Configuration.of(placements[0]))
        own = spec.space.shape[0]
        assert (one.present[0] == (np.arange(problems.candidates) < len(placements))).all()
        for name in ("mean", "residual_variance", "loadings", "noise", "weights", "extra_features"):
            assert np.isfinite(getattr(one, name)).all(), name
        own_rows = [*range(own), *range(tenants, tenants + own)]
        assert np.isfinite(one.outcomes[0, :, own_rows][..., one.present[0]]).all()
        assert np.isnan(one.outcomes[..., ~one.present[0]]).all(), (
            "who is not there cannot be measured"
        )
        assert (one.residual_variance > 0).all()
        assert one.noise.min() > 0
        assert ((one.weights[0] > 0) == (np.arange(tenants) < own)).all()
        assert (one.outcomes[0, 0, :own][:, one.present[0]] > -25).all()
        late = slice(tenants, None)
        for variant in range(VARIANTS):
            margin = worst_margin(one.outcomes[0, variant], one.limits[0])
            limited = np.isfinite(one.limits[0, late])
            tells = DETECTABLE_SIGMAS * np.sqrt(one.noise[0, late][limited].max(initial=0.0))
            assert margin[one.present[0]].min() <= -tells + 1e-4, (
                "something keeps the limits by more than a window's noise"
            )


def test_power_is_limited_where_it_is_measured_alone(simulated_world: SimulatedWorld) -> None:
    plain = np.array([not np.isfinite(spec.objective.power_w) for spec in simulated_world.specs])
    computers = np.array(
        [
            spec.space.device.accelerator_names[0].startswith("cpu_")
            for spec in simulated_world.specs
        ]
    )
    assert plain[computers].all()
    assert not plain[~computers].all()
    power = simulated_world.problems.outcomes[:, 0, -1, 0]
    assert np.isnan(power[computers]).all()
    assert (power[~computers] > 0).all()


def test_noise_scatters_as_much_as_is_believed(simulated_world: SimulatedWorld) -> None:
    rng = np.random.default_rng(0)
    count, quantities = 4000, simulated_world.problems.mean.shape[1]
    zeros = np.zeros(count, dtype=np.int64)
    asked = Asked(zeros + 2, zeros + 1, zeros, zeros, zeros)
    seen = simulated_world.respond(asked, rng.standard_normal((count, quantities + 1)))
    true, noise = simulated_world.problems.outcomes[2, 1, :, 0], simulated_world.problems.noise[2]
    real = np.isfinite(true)
    assert np.allclose(
        seen.mean(axis=0)[real], true[real], atol=5 * np.sqrt(noise[real] / count).max()
    )
    assert np.allclose(seen.var(axis=0)[real], noise[real], rtol=0.15)


def test_a_disturbed_device_serves_less_and_later() -> None:
    for problem in drawn("train", 6, open_loop=0.0):
        rng = np.random.default_rng(1)
        placements = problem.model.space.default().array()[None]
        own = problem.model.space.shape[0]
        before = problem.model.logarithms(problem.truth, placements)[0, :, 0]
        after = problem.model.logarithms(disturbed(problem.truth, rng), placements)[0, :, 0]
        assert (after[:own] <= before[:own] + 1e-6).all()
        assert (after[own:-1] >= before[own:-1] - 1e-6).all()
        assert (after[:own] < before[:own] - 0.01).any()


def test_a_trace_has_no_noise(trace: Trace, trace_world: TraceWorld) -> None:
    rows, zeros = np.arange(4), np.zeros(4, dtype=np.int64)
    asked = Asked(zeros, zeros, rows, zeros, zeros)
    seen = trace_world.respond(asked, np.full((4, 4), 100.0))
    recorded = trace.batch.take(trace.find(trace_world.specs[0].placements[rows])).logs
    assert np.allclose(seen, recorded.T, equal_nan=True, atol=1e-6)


def test_who_starts_where(trace: Trace) -> None:
    every, default = trace.placements, trace.space.default()
    fine = np.zeros(len(every), dtype=bool)
    assert Configuration.of(every[starting_row(trace.space, every, fine)]) == default
    broken = trace.space.codes(every) == trace.space.codes(default.array())
    assert Configuration.of(every[starting_row(trace.space, every, broken)]) in {
        Configuration((((0, 0), (1, 1)),))
    }
    with pytest.raises(ConfigurationError, match="nothing to start from"):
        starting_row(trace.space, every, ~fine)
    assert (
        Configuration.of(TraceWorld(trace, objectives=[Objective((60.0,))]).specs[0].placements[0])
        == default
    )


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"boards": ["orin_nanoo"]},
            r"draw\.boards=\['orin_nanoo'\] must name some of .*orin_nano_8",
        ),
        ({"boards": []}, r"draw\.boards=\[\] must name some of"),
        ({"networks": ["resnet51"]}, r"draw\.networks=\['resnet51'\] must name some of .*resnet50"),
        ({"networks": []}, r"draw\.networks=\[\] must name some of"),
        (
            {"boards": ["orin_nano_8"], "modes": ["MAXX"]},
            r"draw\.modes=\['MAXX'\]: orin_nano_8 has no MAXX, choose from .*7W",
        ),
        ({"plain": 2.0}, r"draw\.plain=2\.0 must lie in 0\.\.1"),
        ({"open_loop": -0.1}, r"draw\.open_loop=-0\.1"),
        ({"width": -1.0}, r"draw\.width=-1\.0"),
        ({"split": "test"}, r"draw\.split='test' must be one of train, held_out, all"),
    ],
)
def test_a_wrong_option_names_its_key(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        DrawOptions(**wrong)  # type: ignore[arg-type]


def test_given_names_are_drawn_whatever_the_split() -> None:
    rng = np.random.default_rng(0)
    options = DrawOptions(boards=["orin_nx_16"], networks=["vgg19"], modes=["15W"], split="train")
    problem = draw_problem(options, rng)
    assert problem.model.space.device.name == board("orin_nx_16").module
    assert problem.model.space.device.power_mode == "15W"
    assert problem.model.networks[0].name.removesuffix("_like") == "vgg19"
