import numpy as np
import pytest

from benchmarks.mapping_gain_forms import PEAK_GB_S, Beside, Sampled, beside_factor
from benchmarks.mapping_gain_networks import costs_of_network
from benchmarks.mapping_gain_pairs import PAIRS
from benchmarks.published_schedules import (
    OURS,
    XAVIER,
    beside_ms,
    contention_of,
    first_come,
    published_schedules,
    slowdowns,
    traffic_byte_s,
)
from envs.mappings.costs import GroupCosts
from envs.spec.mapping import Mapping
from tuner.placement.schedules import schedule_of
from tuner.placement.schedules_data import NO_CONTENTION, Together


def on_paper(name, seconds):
    """A network whose groups take these times [s] on the GPU and on a DLA; changing costs none."""
    time_s = np.array(seconds, dtype=float)
    nothing = np.zeros(2)
    return GroupCosts(
        name,
        ("tensor", "dla0"),
        1,
        time_s,
        time_s,
        0 * time_s,
        np.zeros((len(time_s), 2, 2)),
        np.zeros((len(time_s), 2, 2)),
        *[nothing] * 4,
        layers=np.ones(len(time_s), dtype=int),
        crossing_bytes=np.zeros(len(time_s)),
    )


def test_who_comes_first_runs_first_and_nobody_waits_for_who_is_not_there():
    # The first network is on the DLA until 5 s; the GPU meanwhile runs all of the second one.
    one, other = on_paper("one", [(9, 5), (2, 9)]), on_paper("other", [(1, 9), (1, 9), (9, 3)])
    together, chosen = Together((one, other), NO_CONTENTION), ((1, 0), (0, 0, 1))
    order = first_come(together, chosen)
    assert order == [(0, 0), (1, 0), (1, 1), (1, 2), (0, 1)]
    assert schedule_of(together, chosen, order).finish_s == (7.0, 8.0)


def test_published_mappings_fit_the_networks_that_they_divide():
    for each in published_schedules():
        for name, mapping in zip(each.networks, each.mappings, strict=True):
            groups = costs_of_network(name, each.setting).groups
            assert len(Mapping.parse(mapping).by_group(groups)) == groups


def test_published_schedules_have_the_times_of_the_pairs():
    of_pair = {pair.source.split()[-1]: pair for _, pair in PAIRS}
    for each in published_schedules():
        pair = of_pair[each.experiment]
        assert each.networks == pair.networks
        if each.scheme == OURS:
            assert each.time_ms == pair.hax_ms
        if each.scheme == "GPU & DLA" and each.setting is XAVIER:
            assert each.time_ms == pair.split_ms


def test_the_fastest_of_the_published_mappings_is_mostly_that_of_the_model():
    for experiment in ("1", "3", "4", "Orin"):
        mine = [each for each in published_schedules() if each.experiment == experiment]
        model = [each.model_ms(contention_of(each.setting)) for each in mine]
        assert np.argmin(model) == np.argmin([each.time_ms for each in mine])


def test_a_network_is_slower_on_the_dla_beside_others_whatever_they_move():
    networks, times_ms = beside_ms()
    moved = [traffic_byte_s(name, ms * 1e-3) for name, ms in zip(networks, times_ms, strict=True)]
    assert max(moved) > 8 * min(moved)
    assert times_ms[np.argmax(moved)] < times_ms[np.argmin(moved)]


def test_traffic_is_that_of_the_part_that_fits():
    costs = costs_of_network("googlenet", XAVIER)
    whole_s, moved = costs.of((0,) * costs.groups)[0], costs.bytes[:, 0].sum()
    assert traffic_byte_s("googlenet", 2 * whole_s) == pytest.approx(moved / whole_s / 2)
    assert traffic_byte_s("googlenet", whole_s / 2) == pytest.approx(moved / whole_s)


def test_beside_anything_both_are_slower_while_both_run():
    # The DLA goes on alone once the GPU is done. Groups that stay in its SRAM move nothing, so that
    # the GPU is alone, too, for a while.
    costs = costs_of_network("googlenet", XAVIER)
    gpu_s, dla_s = (costs.of((at,) * costs.groups)[0] for at in (0, 1))
    gpu, dla = slowdowns("googlenet", "googlenet", Beside(1.0, 0.0, 1.5, 0.0))
    assert 1.4 < gpu < 1.5
    assert dla == pytest.approx(1 + gpu * gpu_s / dla_s / 3, rel=0.005)
    assert 1.3 < beside_factor() < 1.6


def test_the_sample_of_pccs_is_read_at_its_corners():
    form = Sampled(PEAK_GB_S * 1e9, 0.0, 0.0, 0.0)
    assert form.slowdown(93.1e9, 127.4e9) == pytest.approx(1 / 0.54)
    assert form.slowdown(93.1e9, 0.0) == 1.0
    assert form.slowdown(9.3e9, 12.7e9) == pytest.approx(1 / 0.99)
