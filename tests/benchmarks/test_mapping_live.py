"""What is fitted to measured mappings: costs that are known on paper."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.mapping_live_bench import can_be_int8, drawn, stripes
from benchmarks.mapping_live_choice import best_of, choice, choice_within
from benchmarks.mapping_live_fit import Measured, among, fit
from envs.mappings.search import fastest
from envs.spec import Mapping

PLACES = ("cpu_fp32", "cpu_int8")

#: Ten groups of one millisecond in FP32. INT8 takes twice as long for the first two, half as long
#: for the others. A call takes 10 microseconds; a byte that reaches a part nothing.
TIMES_S = np.array([[1e-3, 2e-3]] * 2 + [[1e-3, 5e-4]] * 8)
CALL_S = 1e-5


@pytest.fixture
def bench() -> Any:
    groups = [
        SimpleNamespace(
            cost=1e6,
            bytes_in=1e3,
            layers=SimpleNamespace(macs=np.array([0.0 if position == 5 else 1e6])),
        )
        for position in range(10)
    ]
    return SimpleNamespace(
        partition=SimpleNamespace(groups=groups),
        accelerators=PLACES,
        network=SimpleNamespace(name="net"),
    )


def measured(mapping: Mapping) -> Measured:
    bounds = (0, *mapping.stops, len(TIMES_S))
    return Measured(
        mapping,
        tuple(
            CALL_S + float(TIMES_S[start:stop, PLACES.index(name)].sum())
            for name, (start, stop) in zip(mapping.accelerators, pairwise(bounds), strict=True)
        ),
    )


def calibration(bench: Any) -> list[Measured]:
    wholes = [Mapping((name,)) for name in PLACES]
    return [measured(each) for each in (*wholes, *stripes(bench))]


def test_stripes_change_everywhere_and_start_with_single_groups(bench: Any) -> None:
    first, second = stripes(bench)
    assert first.stops[:2] == (1, 2)
    assert first.accelerators[:2] == PLACES
    assert second.accelerators[:2] == PLACES[::-1]
    assert can_be_int8(bench, first)
    assert can_be_int8(bench, second)
    assert not can_be_int8(bench, Mapping.parse("cpu_fp32_to_5_cpu_int8_to_6_cpu_fp32"))


def test_times_of_other_mappings_are_predicted(bench: Any) -> None:
    fitted = fit("net", bench.partition, PLACES, calibration(bench))
    for each in drawn(bench, 20, np.random.default_rng(0)):
        assert fitted.time_s(each) == pytest.approx(measured(each).time_s, rel=0.02)


def test_the_best_mapping_is_chosen_with_its_gain(bench: Any) -> None:
    known = calibration(bench)
    fitted = fit("net", bench.partition, PLACES, known)
    best = Mapping.parse("cpu_fp32_to_2_cpu_int8")
    assert best_of(bench, fitted, PLACES) == best
    chosen, single, gain = choice(bench, fitted, known, PLACES)
    assert (chosen, single) == (best, Mapping(("cpu_int8",)))
    assert gain == pytest.approx(1 - 6.02 / 8.01, abs=0.01)
    alone = among(fitted.costs, PLACES[1:])
    assert fastest(alone, 2).mapping == single  # type: ignore[union-attr]


def test_a_gain_that_is_not_sure_is_not_chosen(bench: Any) -> None:
    known = calibration(bench)[:2]
    fitted = fit("net", bench.partition, PLACES, known)
    chosen, single, gain = choice(bench, fitted, known, PLACES)
    assert (chosen, gain) == (single, 0.0)
    assert fitted.deviation_s(Mapping.parse("cpu_fp32_to_5_cpu_int8"), single) > 5e-4


def test_under_a_limit_on_agreement_the_fastest_that_keeps_it_is_chosen(bench: Any) -> None:
    known = calibration(bench)
    fitted = fit("net", bench.partition, PLACES, known)
    judged: list[str] = []

    def agreement(mapping: Mapping) -> float:
        judged.append(mapping.name)
        int8 = sum(each == "cpu_int8" for each in mapping.by_group(10))
        return 1 - 0.01 * int8  # whole INT8 loses a tenth

    bench.agreement = agreement
    chosen, single, gain = choice_within(bench, fitted, known, PLACES)
    assert single == Mapping(("cpu_fp32",))
    assert sum(each == "cpu_int8" for each in chosen.by_group(10)) <= 5
    assert chosen == Mapping.parse("cpu_fp32_to_5_cpu_int8")
    assert gain == pytest.approx(1 - 7.52 / 10.01, abs=0.02)
    assert judged[0] == "cpu_int8"
