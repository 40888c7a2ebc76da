"""A short selection of the campaign of device faults, on stand-ins and in the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.device_fault_cases import CASES, Case
from benchmarks.device_fault_models import MODEL_CASES, ModelCase
from benchmarks.device_faults import chosen, engines_at_start, on_model, on_standins

ON_STANDINS = chosen(
    CASES,
    ["dla1 alone refuses a batch", "GPU and DLAs refuse", "libnvdla_compiler.so"],
)
IN_MODEL = chosen(
    MODEL_CASES, ["always", "memory ends at instance 3", "CUDA cores", "answer in time"]
)


@pytest.mark.parametrize("case", ON_STANDINS, ids=lambda case: case.name)
def test_the_command_serves_or_refuses_with_one_sentence(case: Case, tmp_path: Path) -> None:
    result = on_standins(case, tmp_path)
    assert result.good, result


@pytest.mark.parametrize("case", IN_MODEL, ids=lambda case: case.name)
def test_the_controller_serves_again_within_three_periods(case: ModelCase) -> None:
    result = on_model(case)
    assert result.good, result
    assert result.met, result


def test_one_engine_is_built_before_the_first_request_is_answered(tmp_path: Path) -> None:
    assert engines_at_start(tmp_path) == 1


def test_there_are_more_than_enough_faults_with_names_of_their_own() -> None:
    for cases in (CASES, MODEL_CASES):
        names = [case.name for case in cases]
        assert len(set(names)) == len(names) >= 25
