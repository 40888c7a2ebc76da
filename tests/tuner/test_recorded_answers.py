"""What a recording says about answers decides what it is replayed with."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envs.errors import OptionError
from envs.spec import Configuration, Failure, FailureKind, Measurement
from envs.traces.reader import Trace
from envs.traces.schema import row_of
from tests.commands import call
from tests.worlds import respond, space, write_rows
from tuner.device import open_device

Said = Callable[[bool], float]


def written(path: Path, agreement: Callable[[Configuration], float], **more: Any) -> Trace:
    """Write a trace of one tenant on cpu_fp32 and cpu_int8; `agreement` is that of each row."""
    world, rows = replace(space(max_instances=1, batches=(1, 2)), **more), []
    for row in world.catalogue:
        configuration = Configuration.of(row)
        measured = respond(world, configuration)
        value = agreement(configuration)
        samples = 64.0 if value == value else math.nan
        tenants = tuple(
            replace(each, agreement=value, agreement_samples=samples) for each in measured.tenants
        )
        outcome = replace(measured, tenants=tenants)
        rows.append(row_of(world, configuration, outcome, 1, 1.7e9))
    return write_rows(path, world, rows)


def uses(configuration: Configuration, accelerator: int) -> bool:
    return any(column == accelerator for _, column, _, _ in configuration.slots())


def int8_agrees(value: float) -> Callable[[Configuration], float]:
    return lambda configuration: value if uses(configuration, 1) else 1.0


def replayed(trace: Trace, **options: Any) -> Any:
    return open_device(runtime="replayed", trace=str(trace.path), **options)


def used(device: Any) -> set[str]:
    names = device.space.device.accelerator_names
    return {
        "+".join(sorted({names[column] for _, column, _, _ in Configuration.of(row).slots()}))
        for row in device.candidates
    }


EVERYTHING = {"cpu_fp32", "cpu_int8", "cpu_fp32+cpu_int8"}


def test_what_agreed_when_it_was_recorded_serves(tmp_path: Path) -> None:
    trace = written(tmp_path / "t.parquet", int8_agrees(0.995))
    with replayed(trace) as device:
        assert used(device) == EVERYTHING
        assert len(device.candidates) == len(trace.placements)
        outcome = device.measure({"cpu_int8": (1, 1)})
        assert isinstance(outcome, Measurement)
        assert (outcome.tenants[0].agreement, outcome.tenants[0].agreement_samples) == (0.995, 64)


@pytest.mark.parametrize(("limit", "kept"), [(0.95, EVERYTHING), (0.0, EVERYTHING)])
def test_the_limit_is_that_of_now(tmp_path: Path, limit: float, kept: set[str]) -> None:
    trace = written(tmp_path / "t.parquet", int8_agrees(0.95))
    with replayed(trace, min_agreement=limit) as device:
        assert used(device) == kept


def test_below_the_limit_is_left_out_with_its_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trace = written(tmp_path / "t.parquet", int8_agrees(0.95))
    caplog.set_level(logging.WARNING)
    with replayed(trace) as device:
        assert used(device) == {"cpu_fp32"}
        assert device.space.unavailable == {(0, 1)}
        outcome = device.measure({"cpu_int8": (1, 1)})
        assert isinstance(outcome, Failure)
    (line,) = [each for each in caplog.messages if "cpu_int8" in each]
    assert "0.95" in line
    assert "64 samples" in line
    assert "min_agreement=0.99" in line


def test_one_row_below_the_limit_is_left_out_alone(tmp_path: Path) -> None:
    """Together with FP32 the answers were recorded from another calibration, say."""

    def agreement(configuration: Configuration) -> float:
        return 0.9 if uses(configuration, 0) and uses(configuration, 1) else 1.0

    with replayed(written(tmp_path / "t.parquet", agreement)) as device:
        assert used(device) == {"cpu_fp32", "cpu_int8"}


@pytest.mark.parametrize("fp32", [1.0, math.nan])
def test_old_recordings_say_nothing_about_int8(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fp32: float
) -> None:
    trace = written(tmp_path / "t.parquet", lambda each: math.nan if uses(each, 1) else fp32)
    caplog.set_level(logging.WARNING)
    with replayed(trace) as device:
        assert used(device) == {"cpu_fp32"}
    (line,) = [each for each in caplog.messages if "does not say how far" in each]
    assert line.startswith("without cpu_int8 for net0: ")
    assert "--allow-uncalibrated" in line
    with replayed(trace, allow_uncalibrated=True) as device:
        assert used(device) == {"cpu_fp32", "cpu_int8"}  # not both for one tenant
        assert device.space.unjudged == {(0, 1)}
        outcome = device.measure({"cpu_int8": (1, 2)})
        assert isinstance(outcome, Measurement)
        assert math.isnan(outcome.tenants[0].agreement)


def test_accelerators_and_precisions_choose_from_a_recording(tmp_path: Path) -> None:
    trace = written(tmp_path / "t.parquet", int8_agrees(1.0))
    for options in ({"accelerators": ["cpu_int8"]}, {"precisions": ["int8"]}):
        with replayed(trace, **options) as device:
            assert used(device) == {"cpu_int8"}
    for options in ({"accelerators": ["cpu_fp32"]}, {"precisions": ["fp32", "fp16"]}):
        with replayed(trace, **options) as device:
            assert used(device) == {"cpu_fp32"}
    with replayed(trace, precisions=["int8", "fp32"]) as device:
        assert used(device) == EVERYTHING


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"accelerators": ["dla0"]}, "the recording has no accelerator 'dla0': choose from cpu_fp"),
        ({"accelerators": []}, "accelerator"),
        ({"precisions": ["fp16"]}, "--precisions leaves fp32 out; --precisions leaves int8 out"),
        ({"precisions": ["fp8"]}, "must name some of fp32, fp16, int8"),
        ({"precisions": []}, "must name some of fp32, fp16, int8"),
        ({"accelerators": ["cpu_fp32"], "precisions": ["int8"]}, "leaves"),
    ],
)
def test_choices_that_leave_nothing_are_refused_in_one_sentence(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    trace = written(tmp_path / "t.parquet", int8_agrees(1.0))
    with pytest.raises(OptionError, match=words) as caught:
        replayed(trace, **options)
    assert "\n" not in str(caught.value)


def test_everything_below_the_limit_is_one_sentence(tmp_path: Path) -> None:
    trace = written(tmp_path / "t.parquet", lambda configuration: 0.5)
    with pytest.raises(OptionError, match="net0 cannot be served here: its answers agree") as found:
        replayed(trace)
    assert "0.5" in str(found.value)
    result = call("tune", "--runtime", "replayed", "--trace", trace.path, "--p99-ms", 500)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: net0 cannot be served here")


def test_rows_that_failed_are_no_candidates(tmp_path: Path) -> None:
    world = space(max_instances=1, batches=(1,))
    rows = []
    for row in world.catalogue:
        configuration = Configuration.of(row)
        outcome: Any = respond(world, configuration)
        if uses(configuration, 1):
            outcome = Failure(FailureKind.OUT_OF_MEMORY, "out of memory")
        rows.append(row_of(world, configuration, outcome, 1, 1.7e9))
    with replayed(write_rows(tmp_path / "t.parquet", world, rows)) as device:
        assert used(device) == {"cpu_fp32"}


@pytest.mark.parametrize("options", [(), ("--precisions", "fp32"), ("--accelerators", "cpu_fp32")])
def test_tune_takes_the_options_with_a_recording(tmp_path: Path, options: tuple[str, ...]) -> None:
    trace = written(tmp_path / "t.parquet", int8_agrees(1.0))
    result = call("tune", "--runtime", "replayed", "--trace", trace.path, "--p99-ms", 500, *options)
    assert result.returncode == 0, result.stderr
    if options:
        assert "cpu_int8" not in result.stdout
