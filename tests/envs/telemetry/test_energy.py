from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.telemetry.energy import STUCK_READS, STUCK_S, power_window
from envs.telemetry.protocol import BoardSample

Stamps = list[float]

#: Rising moments with gaps between 1 ms and 10 s, as a busy computer gives them.
STAMPS = st.lists(st.floats(1e-3, 10.0), min_size=1, max_size=40).map(
    lambda gaps: [1000.0, *(1000.0 + np.cumsum(gaps)).tolist()]
)
WATTS = st.floats(0.01, 100.0)


def readings(
    stamps: Sequence[float], load: Callable[[float], float], step_w: float = 0.0
) -> list[BoardSample]:
    """Return samples of a rail that is the total, and of another rail that draws half of it."""
    samples = []
    for time_s in stamps:
        watts = load(time_s)
        rails_w = {"VDD_IN": watts, "VDD_SOC": watts / 2}
        samples.append(BoardSample(watts, rails_w, time_s, ("VDD_IN",), steps_w={"VDD_IN": step_w}))
    return samples


def counts(
    stamps: Sequence[float],
    energies_j: Sequence[float],
    wrap_j: float | None = None,
    refresh_s: float = 0.0,
) -> list[BoardSample]:
    wraps = {} if wrap_j is None else {"package": wrap_j}
    return [
        BoardSample(
            rails_w={"package": 1.0},
            time_s=time_s,
            total_rails=("package",),
            energy_j={"package": energy_j},
            energy_wrap_j=wraps,
            refresh_s=refresh_s,
        )
        for time_s, energy_j in zip(stamps, energies_j, strict=True)
    ]


@given(STAMPS.filter(lambda stamps: len(stamps) < STUCK_READS), WATTS)
def test_a_steady_load(stamps: Stamps, watts: float) -> None:
    window = power_window(readings(stamps, lambda time_s: watts), has_power=True)
    assert window.mean_w == pytest.approx(watts)
    assert window.rails_w == pytest.approx({"VDD_IN": watts, "VDD_SOC": watts / 2})
    assert window.energy_j == pytest.approx(watts * (stamps[-1] - stamps[0]))
    assert window.uncertainty_w == pytest.approx(0.0, abs=1e-9)


@given(STAMPS, WATTS, st.floats(-5.0, 5.0))
def test_a_ramp_is_exact_whatever_the_stamps(stamps: Stamps, start_w: float, slope: float) -> None:
    """A plain mean of the readings would be off wherever they crowd."""
    window = power_window(
        readings(stamps, lambda time_s: start_w + slope * (time_s - stamps[0])), has_power=True
    )
    if not window.fault:
        assert window.mean_w == pytest.approx(
            start_w + slope * (stamps[-1] - stamps[0]) / 2, rel=1e-6, abs=1e-6
        )


@given(STAMPS, st.lists(WATTS, min_size=41, max_size=41))
def test_the_mean_lies_between_the_extremes_and_rails_keep_their_share(
    stamps: Stamps, loads: list[float]
) -> None:
    load_at = dict(zip(stamps, loads, strict=False))
    window = power_window(readings(stamps, load_at.__getitem__), has_power=True)
    if not window.fault:
        assert min(load_at.values()) - 1e-9 <= window.mean_w <= max(load_at.values()) + 1e-9
        assert window.rails_w["VDD_SOC"] == pytest.approx(window.mean_w / 2)


@given(
    STAMPS,
    st.lists(st.floats(0.01, 60.0), min_size=40, max_size=40),
    st.floats(100.0, 1e5),
    st.floats(0.0, 1.0),
)
def test_a_counter_that_wraps_counts_all_energy(
    stamps: Stamps, steps_j: list[float], wrap_j: float, begin: float
) -> None:
    """It is read at least once per round: a reading adds at most 60 J, a round has 100 J."""
    energies_j = np.concatenate([[0.0], np.cumsum(steps_j)])[: len(stamps)]
    shown_j = np.mod(begin * wrap_j + energies_j, wrap_j).tolist()
    window = power_window(counts(stamps, shown_j, wrap_j), has_power=True)
    span_s = stamps[-1] - stamps[0]
    assert window.mean_w == pytest.approx(energies_j[-1] / span_s, rel=1e-6)
    assert window.energy_j == pytest.approx(energies_j[-1], rel=1e-6)


def test_two_readings_of_a_counter_are_enough() -> None:
    window = power_window(counts([10.0, 14.0], [7.0, 27.0], refresh_s=0.1), has_power=True)
    assert window.mean_w == 5.0
    assert window.uncertainty_w == pytest.approx(5.0 * math.sqrt(2) * 0.1 / math.sqrt(12) / 4.0)


def test_a_counter_without_wrap_that_goes_back_is_a_fault() -> None:
    """A counter goes back if the driver is loaded anew."""
    window = power_window(counts([0.0, 1.0], [500.0, 3.0]), has_power=True)
    assert math.isnan(window.mean_w)
    assert window.fault == "the counter of package was lost or went back"


@pytest.mark.parametrize("where", [1, 2])
def test_a_counter_that_is_missing_in_the_middle_is_a_fault(where: int) -> None:
    samples = counts([0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0])
    samples[where].energy_j.clear()
    window = power_window(samples, has_power=True)
    assert math.isnan(window.mean_w)
    assert window.fault == "the counter of package was lost or went back"


def test_a_counter_that_rests_is_stuck() -> None:
    window = power_window(counts([0.0, 1.0], [500.0, 500.0]), has_power=True)
    assert math.isnan(window.mean_w)
    assert "stuck" in window.fault


def test_the_step_stays_however_often_it_is_read() -> None:
    """A rail in steps of 0.4 W is known to 0.12 W, also after a hundred equal readings."""
    few, many = (
        power_window(
            readings(
                np.linspace(0, 10, count).tolist(), lambda time_s: 8.0 + 1e-9 * time_s, step_w=0.4
            ),
            has_power=True,
        )
        for count in (5, 100)
    )
    assert few.uncertainty_w == pytest.approx(0.4 / math.sqrt(12), rel=1e-3)
    assert many.uncertainty_w == pytest.approx(few.uncertainty_w, rel=1e-3)


def test_a_step_that_is_not_known_leaves_the_uncertainty_unknown() -> None:
    samples = [
        BoardSample(watts, {"VIN": watts}, time_s, ("VIN",))
        for time_s, watts in ((0.0, 5.0), (1.0, 6.0))
    ]
    window = power_window(samples, has_power=True)
    assert window.mean_w == 5.5
    assert math.isnan(window.uncertainty_w)


def test_the_uncertainty_covers_the_error_of_sampling() -> None:
    """A load switches at random, faster than it is read: two standard deviations cover 95 %."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        fine_w = 10 + 5 * rng.integers(0, 2, size=2000)
        moments = np.linspace(0, 1999, 40).astype(int)
        window = power_window(
            readings(
                (moments / 100).tolist(),
                lambda time_s, loads=fine_w: float(loads[round(100 * time_s)]),
            ),
            has_power=True,
        )
        covered += abs(window.mean_w - fine_w.mean()) < 2 * window.uncertainty_w
    assert 0.90 <= covered / 300 <= 0.99


def test_equal_to_the_last_bit_for_long_is_stuck() -> None:
    stamps = np.linspace(0, STUCK_S, STUCK_READS + 1).tolist()
    stuck = power_window(readings(stamps, lambda time_s: 21.25), has_power=True)
    assert math.isnan(stuck.mean_w)
    assert math.isnan(stuck.energy_j)
    assert not stuck.rails_w
    assert stuck.fault == "stuck: 21 readings over 10.0 s are equal to the last bit"
    moved = power_window(
        readings(stamps, lambda time_s: 21.25 if time_s < STUCK_S else 21.26), has_power=True
    )
    assert moved.mean_w == pytest.approx(21.25, abs=0.01)


@pytest.mark.parametrize(("count", "span_s"), [(STUCK_READS - 1, 15.0), (200, 1.0), (100, 5.0)])
def test_a_short_window_does_not_prove_a_stuck_sensor(count: int, span_s: float) -> None:
    """A board at rest may stay within one step of each of its rails for seconds."""
    window = power_window(
        readings(np.linspace(0, span_s, count).tolist(), lambda time_s: 21.25), has_power=True
    )
    assert window.mean_w == pytest.approx(21.25)


@given(STAMPS.filter(lambda stamps: len(stamps) < STUCK_READS), WATTS)
def test_equal_readings_have_that_very_mean(stamps: Stamps, watts: float) -> None:
    """They are equal to the last bit, so that windows can be compared."""
    assert power_window(readings(stamps, lambda time_s: watts), has_power=True).mean_w == watts


@pytest.mark.parametrize("watts", [0.0, -3.0])
def test_a_total_that_no_board_draws_is_a_fault(watts: float) -> None:
    """A monitor that has lost its bus answers zeros, which would keep every limit."""
    window = power_window(
        readings([0.0, 0.1, 0.2], lambda time_s: watts if time_s else 5.0), has_power=True
    )
    assert math.isnan(window.mean_w)
    assert math.isnan(window.energy_j)
    assert window.fault == f"the total was {watts:g} W, which no board draws"


def test_a_rail_at_or_below_zero_is_not_a_fault() -> None:
    """A rail below its first step reads 0 W; the offset of a sensor may show as a negative step."""
    samples = [
        BoardSample(
            5.0 + time_s,
            {"VDD_IN": 5.0 + time_s, "VDD_SOC": -0.04, "VDD_CPU_CV": 0.0},
            time_s,
            ("VDD_IN",),
        )
        for time_s in (0.0, 1.0)
    ]
    assert power_window(samples, has_power=True).rails_w == pytest.approx(
        {"VDD_IN": 5.5, "VDD_SOC": -0.04, "VDD_CPU_CV": 0.0}
    )


@pytest.mark.parametrize("where", [0, 3, 5])
def test_one_nan_spoils_the_window(where: int) -> None:
    samples = readings(
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
        lambda time_s: math.nan if round(10 * time_s) == where else 5.0 + time_s,
    )
    window = power_window(samples, has_power=True)
    assert math.isnan(window.mean_w)
    assert window.fault == "no number for VDD_IN, VDD_SOC, the total in part of the window"


def test_a_rail_that_is_gone_spoils_it_too() -> None:
    samples = readings([0.0, 0.1, 0.2], lambda time_s: 5.0 + time_s)
    samples[1].rails_w.pop("VDD_SOC")
    assert "VDD_SOC" in power_window(samples, has_power=True).fault


def test_rails_without_a_total_have_their_own_means() -> None:
    samples = [
        BoardSample(math.nan, {"GPU": 2.0 + time_s, "CPU": 1.0}, time_s) for time_s in (0.0, 1.0)
    ]
    window = power_window(samples, has_power=False)
    assert window.rails_w == pytest.approx({"GPU": 2.5, "CPU": 1.0})
    assert math.isnan(window.mean_w)
    assert math.isnan(window.uncertainty_w)
    assert not window.fault


def test_one_reading_is_not_a_window() -> None:
    assert (
        "fewer than two readings"
        in power_window(readings([1.0], lambda time_s: 5.0), has_power=True).fault
    )
    assert power_window([], has_power=True).fault == "no reading"


def test_counters_that_changed_and_hot_zones_are_named() -> None:
    def sample(time_s: float, oc3: int, *hot: str) -> BoardSample:
        return BoardSample(
            5.0 + time_s,
            {"VDD_IN": 5.0 + time_s},
            time_s,
            throttle_events={"oc1": 2, "oc3": oc3},
            throttling=hot,
            temperatures_c={"tj": 90 + time_s, "cpu": 80.0},
        )

    window = power_window(
        [sample(0.0, 7), sample(1.0, 7, "gpu_thermal"), sample(2.0, 9)], has_power=True
    )
    assert window.throttled == ("gpu_thermal", "oc3")
    assert window.hottest_c == 92.0
    assert power_window([sample(0.0, 7), sample(1.0, 7)], has_power=True).throttled == ()


def test_no_sensor_is_not_a_fault() -> None:
    window = power_window([BoardSample(time_s=0.0), BoardSample(time_s=1.0)], has_power=False)
    assert math.isnan(window.mean_w)
    assert math.isnan(window.hottest_c)
    assert not window.fault
