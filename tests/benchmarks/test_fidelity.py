from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fitting import FREE, fit, ratios
from benchmarks.published import layers_of
from benchmarks.published_clocks import triton_figures, tx2_figures
from benchmarks.published_rows import published
from benchmarks.regimes import eager_table, native_table, space
from envs.catalog.reference_networks import reference_network
from envs.simulator.parameters import PARAMETERS, ParameterSet, nominal

SETS = {name: nominal(name) for name in ("ampere", "volta")}


def test_every_row_names_its_source_and_can_be_predicted() -> None:
    rows = list(published())
    found = ratios(rows, SETS)
    assert found.shape == (len(rows), 1)
    assert np.isfinite(found).all()
    assert (found > 0).all()
    assert all(row.source and row.value > 0 for row in rows)


def test_what_was_written_is_near_what_was_published() -> None:
    rows = [row for row in published() if row.group == "mlperf" and row.steady]
    assert np.median(np.abs(ratios(rows, SETS) - 1)) < 0.1


def test_parameter_sets_are_predicted_side_by_side() -> None:
    rows = list(published())[::9]
    both = {name: ParameterSet(parameters.values[[0, 0]]) for name, parameters in SETS.items()}
    both["ampere"].values[1] *= 0.99
    joint = ratios(rows, both)
    np.testing.assert_allclose(joint[:, :1], ratios(rows, SETS))


def test_a_fit_recovers_a_value_it_is_shown_and_keeps_what_no_row_speaks_of() -> None:
    rows = [row for row in published() if row.run in ("triad", "decode")]
    found = fit(rows).values
    assert found["ampere"]["bandwidth_efficiency"] == pytest.approx(0.88, abs=0.06)
    assert found["volta"]["gpu_w"] == pytest.approx(PARAMETERS["gpu_w"].nominal, rel=1e-3)
    assert {group: tuple(part) for group, part in found.items()} == FREE


def test_bert_computes_no_padding() -> None:
    assert layers_of("bert_large").total_macs < 0.5 * reference_network("bert_large").total_macs


def test_the_space_of_one_tenant() -> None:
    instances, levels = space()
    assert (
        instances.shape == levels.shape == (142_129 - 1, 1, 4)
    )  # without the one that serves nothing
    assert instances.sum(axis=(1, 2)).min() == 1


def test_regime_of_eager_engines() -> None:
    """FP32 and mixed precision together beat either at large batches; a DLA takes part of it back.

    Source: arXiv 2503.09546.
    """
    found = eager_table(SETS["ampere"])
    assert found["CUDA+Tensor"][-1] > max(found["CUDA"][-1], found["Tensor"][-1])
    assert found["CUDA+Tensor+DLA0"][-1] < found["CUDA+Tensor"][-1]


def test_regime_of_native_engines() -> None:
    """MLPerf Inference v3.0: 6438 images/s with both DLAs; 4500 were planned for the GPU alone."""
    found = native_table(SETS["ampere"])
    assert 1.3 < found["GPU+DLA0+DLA1"] / found["GPU"] < 1.56


def test_contexts_are_flat_and_threads_are_not() -> None:
    rows = [row for row in published() if row.quantity == "rate_gain"]
    found = ratios(rows, SETS)[:, 0] * [row.value for row in rows]
    contexts = found[[row.group == "contexts" for row in rows]]
    threads = found[[row.group == "threads" for row in rows]]
    assert (np.abs(contexts - 1) < 0.05).all()
    assert (threads > 1.25).all()


def test_clocks_are_a_compute_term_and_a_memory_term() -> None:
    assert [each.name for each in tx2_figures() if each.holds is False] == []
    assert [each.name for each in triton_figures(SETS["volta"]) if each.holds is False] == []
