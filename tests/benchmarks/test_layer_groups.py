from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from benchmarks.fidelity_groups import accuracies, calibrated, mappings_of
from benchmarks.published_groups import (
    GroupTimes,
    layer_ms,
    modelled,
    outputs,
    published_groups,
    published_layers,
)
from envs.catalog.reference_networks import reference_network
from envs.simulator.parameters import nominal


def test_published_groups_are_all_layers_of_their_networks() -> None:
    found = {times.network: times for times in published_groups()}
    assert set(found) == {"googlenet", "alexnet_grouped"}
    for name, times in found.items():
        assert times.bounds[0] == 0
        assert times.bounds[-1] == len(reference_network(name))
        assert list(times.bounds) == sorted(set(times.bounds))
    # Sums that the source states for both accelerators [ms].
    assert found["googlenet"].time_ms.sum(axis=0) == pytest.approx([1.72, 3.84])
    assert found["alexnet_grouped"].time_ms.sum(axis=0) == pytest.approx([1.79, 4.41])
    # fc6 holds most of the weights, and takes longest.
    table, bounds = reference_network("alexnet_grouped"), found["alexnet_grouped"].bounds
    weights = [table.weights[a:b].sum() for a, b in pairwise(bounds)]
    assert np.argmax(weights) == np.argmax(found["alexnet_grouped"].time_ms[:, 0]) == 5


def test_calibration_keeps_the_split_and_meets_the_totals() -> None:
    times = published_groups()[0]
    ours = 1e3 * modelled(times, nominal("volta")).time_s
    found = calibrated(times, ours)
    assert found.sum(axis=0) == pytest.approx(times.time_ms.sum(axis=0))
    assert found[3] / found[5] == pytest.approx(ours[3] / ours[5])


def test_accuracy_is_that_of_every_mapping_with_one_or_two_transitions() -> None:
    assert len(mappings_of(10)) == 2 * (9 + 36)
    assert len({tuple(each) for each in mappings_of(10)}) == 90
    times = GroupTimes("made", (0, 1, 2), np.array([[1.0, 3.0], [1.0, 1.0]]))
    assert accuracies(times, times.time_ms) == pytest.approx([100, 100])
    # Published 2 and 4 ms; found 2.5 and 4 ms.
    wrong = np.array([[1.0, 3.0], [1.0, 1.5]])
    assert sorted(accuracies(times, wrong)) == pytest.approx([75, 100])


def test_published_convolutions_have_the_operations_that_their_source_counts() -> None:
    found = {each.layers.name: each.layers for each in published_layers()}
    # branes-ai/graphs gives two for each multiply-accumulate.
    assert 2 * found["Conv2d(3,64,k3,s1)"].total_macs == 173408256
    assert 2 * found["Conv2d(64,128,k3,s2)"].total_macs == 115605504
    assert 2 * found["DWConv(64,k3,s2)"].total_macs == 903168
    assert 2 * found["DWConv(256,k5,s1)"].total_macs == 2508800
    assert len(published_layers()) == 280
    fast, slow = (each for each in published_layers()[:2])
    assert layer_ms(fast, nominal("ampere")) != layer_ms(slow, nominal("ampere")) > 0


def test_marked_outputs_are_of_both_accelerators() -> None:
    published, model, names = outputs(nominal("volta"))
    assert names == ["tensor"] * 9 + ["dla0"] * 9
    assert published.min() == 0.0097
    assert published.max() == 0.07351
    assert (model > 0).all()
