"""The option `mappings`: mappings of the served networks as places of a simulated board."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import OptionError
from envs.runtimes.serving.measuring import ServingOptions
from envs.spec import Measurement, Objective
from envs.traces.reader import read_trace
from envs.traces.writer import TraceWriter
from tests.envs.accuracy.digits import Digits, make
from tuner.device import Device, open_device
from tuner.folders import reference_bundle
from tuner.policy.bundle import load_bundle
from tuner.policy.learned import LearnedTuner

MAPPED = "tensor_to_2_dla0"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    return make(tmp_path_factory.mktemp("digits"))


def opened(digits: Digits, **options: Any) -> Device:
    return open_device(
        digits.path, runtime="simulated", samples=digits.samples, min_agreement=0.5, **options
    )


def test_mappings_are_measured_and_tuned_like_any_other_place(
    digits: Digits, tmp_path: Path
) -> None:
    with opened(digits, mappings=[MAPPED, "tensor_to_2_dla1"], cache=str(tmp_path)) as device:
        names = device.space.device.accelerator_names
        assert names == ("tensor", "cuda", "dla0", "dla1", MAPPED, "tensor_to_2_dla1")
        outcome = device.measure({MAPPED: (2, 4)})
        assert isinstance(outcome, Measurement)
        predicted = device.model.batch(
            device.model.nominal(), device.configuration({MAPPED: (2, 4)}).array()[None]
        )
        assert outcome.tenants[0].throughput_ips == pytest.approx(
            predicted.throughput_ips[0, 0], rel=0.5
        )
        problem = device.problem(Objective((50.0,)))
        tuner = LearnedTuner(load_bundle(reference_bundle()), problem)
        for _ in range(3):
            asked = tuner.ask()
            device.space.check(asked)
            tuner.tell(asked, device.measure(asked))


def test_the_default_is_without_mappings(digits: Digits, tmp_path: Path) -> None:
    for options in ({}, {"mappings": "off"}):
        with opened(digits, cache=str(tmp_path), **options) as device:
            assert all(each.mapping is None for each in device.space.device.accelerators)


@pytest.mark.parametrize(
    ("mappings", "reason"),
    [
        (["tensor"], "names no mapping"),
        (["auto", MAPPED], "auto names no mapping: write auto or off alone"),
        ([""], "names no mapping"),
        (["tensor_to_02_dla0"], "no mapping of layer groups"),
        (["tensor_to_2_gpu"], "no accelerator 'gpu'"),
        (["tensor_to_200_dla0"], "needs more than 200 layer groups"),
        (["dla0_to_2_tensor"], "does not take all of its layers"),
        (["other:tensor_to_2_dla0"], "must say whose layers it divides"),
        ([MAPPED, MAPPED], "each once"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_network_runs(
    digits: Digits, mappings: list[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.opening.examined_networks", None)  # it would run the network
    with pytest.raises(OptionError, match=reason):
        opened(digits, mappings=mappings)


def test_a_recording_of_mappings_reads_as_it_was_written(digits: Digits, tmp_path: Path) -> None:
    with opened(digits, mappings=[MAPPED], cache=str(tmp_path)) as device:
        configuration = device.configuration({MAPPED: (1, 2), "tensor": (1, 1)})
        outcome = device.measure(configuration)
        with TraceWriter(tmp_path / "mapped.parquet", device.space, {}) as writer:
            writer.append(configuration, outcome, 1, 1.0)
            writer.publish(complete=True)
        trace = read_trace(tmp_path / "mapped.parquet")
        assert trace.space == device.space
        assert np.array_equal(trace.placements[0], configuration.array())


def test_a_mapping_of_this_computer_is_measured_and_modelled(
    digits: Digits, tmp_path: Path
) -> None:
    name = "cpu_fp32_to_1_cpu_int8"
    with open_device(
        digits.path,
        samples=digits.samples,
        mappings=name,
        min_agreement=0.5,
        cache=str(tmp_path),
        serving=ServingOptions(warmup_s=0.05),
    ) as device:
        assert device.space.device.accelerator_names == ("cpu_fp32", "cpu_int8", name)
        assert isinstance(device.measure({name: (1, 1)}, window_s=0.2), Measurement)
        assert list(device.model.divided) == [(0, 2)]
