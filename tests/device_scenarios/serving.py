"""What is said while a service runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.faults import FAULTS, NO_POLICY, one
from envs.runtimes.tensorrt import factory, host, lane
from envs.simulator.machine import device_of
from envs.spec import Configuration, Failure, FailureKind, Place, workload_of
from tests.device_scenarios.here import Here, load_on, serve
from tests.envs.runtimes.tensorrt.test_borders import head_of
from tests.standins.tensorrt.engines import _Context, _Inspector
from tests.standins.tensorrt.faults import Faults
from tests.tuner.control.monitors.windows import SERVING, WINDOW
from tests.worlds import network, space
from tuner.control.monitors.drift import DriftMonitor
from tuner.control.monitors.heat import HeatMonitor, PowerModeMonitor
from tuner.control.offer import Offer
from tuner.policy.thresholds import DEFAULT_THRESHOLDS


def refused_builds(here: Here) -> None:
    """The builder takes no network for a DLA."""
    serve(
        here, "--allow-uncalibrated", "--build-all", faults=Faults(build="fail", build_on=("dla",))
    )


def long_builds(here: Here) -> None:
    """A build for a DLA does not end."""
    given = ("--allow-uncalibrated", "--build-all", "--build-limit-s", 1)
    serve(here, *given, faults=Faults(build="hang", build_on=("dla",)))


def refusing_dlas(here: Here) -> None:
    """Engines for the DLAs are built, and run no batch."""
    serve(here, "--allow-uncalibrated", periods=10, faults=Faults(submit=("dla",)))


def nothing_runs(here: Here) -> None:
    """Neither the GPU nor a DLA runs a batch."""
    serve(here, "--allow-uncalibrated", periods=2, faults=Faults(submit=("gpu", "dla")))


def dropped(here: Here) -> None:
    """A DLA fails again and again while it serves."""
    offer, serving, place = _served_on_a_dla()
    failed = Failure(FailureKind.INSTANCE_LOST, "my on dla0 at batch 1: ...", place=place)
    for _ in range(DEFAULT_THRESHOLDS.in_a_row):
        events = offer.record(serving, failed)
    here.tell(*events, offer.restore())


def memory_ended(here: Here) -> None:
    """There was twice no memory for a fifth instance."""
    offer, serving, place = _served_on_a_dla()
    failed = Failure(FailureKind.OUT_OF_MEMORY, "no memory", place=place, fitted=4)
    for _ in range(2):
        events = offer.record(serving, failed)
    here.tell(*events)


def _served_on_a_dla() -> tuple[Offer, Configuration, Place]:
    """Return what a controller may choose from, one instance on a DLA, and its place."""
    workload = workload_of([network("my")])
    board = replace(space(), device=device_of("agx_orin_64", "MAXN"), workload=workload)
    column = board.device.accelerator_names.index("dla0")
    placements = np.zeros((*board.shape, 2), dtype=np.int16)
    placements[0, column] = (1, 1)
    offer = Offer(board, DEFAULT_THRESHOLDS, None, {})
    return offer, Configuration.of(placements), Place(0, column, 1)


def borrowed(here: Here) -> None:
    """The power mode was changed between two starts."""
    for mode in ("30W", "15W"):
        here.patch.setattr(host, "read_power_mode", lambda root, mode=mode: mode)
        serve(here, "--allow-uncalibrated", periods=10)


def no_graphs_here(here: Here) -> None:
    """The stand-in for pycuda captures nothing."""
    load_on(here, "cuda")


def no_graph_of_one_engine(here: Here) -> None:
    """CUDA graphs work, and an engine cannot be captured."""

    def refuse(stream: int, enqueue: Callable[[], None]) -> None:
        raise RuntimeError("cuStreamEndCapture failed: operation not permitted")

    here.patch.setattr(factory, "capture_refusal", lambda cuda: "")
    here.patch.setattr(lane, "CapturedGraph", refuse)
    load_on(here, "cuda")


def flat_output(here: Here) -> None:
    """A DLA gives a tensor of three dimensions."""
    path, _ = head_of((4, 80), here.folder)
    path.replace(here.folder / "my.onnx")
    load_on(here, "dla0")


def strange_strides(here: Here) -> None:
    """TensorRT tells strides of a DLA's input that no memory can have."""
    native = _Context.get_tensor_strides

    def told(context: Any, name: str) -> tuple[int, ...]:
        found = native(context, name)
        packed = context._engine.get_tensor_vectorized_dim(name) != -1
        return found[:2] if packed else found

    here.patch.setattr(_Context, "get_tensor_strides", told)
    load_on(here, "dla0")


def hot(here: Here) -> None:
    heat = HeatMonitor(DEFAULT_THRESHOLDS)
    for temperature_c in (50.0, 66.0):
        event = heat.update(replace(WINDOW, temperature_c=temperature_c))
    assert event is not None
    here.tell(event)


def other_mode(here: Here) -> None:
    modes = iter(["30W", "50W"])
    event = PowerModeMonitor(lambda: next(modes)).update()
    assert event is not None
    here.tell(event)


def drifted(here: Here) -> None:
    drift = DriftMonitor(DEFAULT_THRESHOLDS)
    for _ in range(9):
        event = drift.update(SERVING, WINDOW, kept=False, was_good=True, sigmas=5.0)
    assert event is not None
    here.tell(event)


def fault(name: str) -> Callable[[Here], None]:
    """Return the scenario of a fault in the model of a board."""
    found = next(each for each in (*FAULTS, NO_POLICY) if each.name == name)

    def scenario(here: Here) -> None:
        one("simulated", found, here.folder, 1.0)
        here.keep((here.folder / "journal.jsonl").read_text())

    scenario.__name__ = name
    return scenario


def fallen_back(here: Here) -> None:
    """Two blocks run on a DLA, and a softmax between them on the GPU."""

    def information(inspector: Any, form: Any) -> str:
        told = json.loads(real(inspector, form))
        if inspector._engine._header["dla"]:
            softmax = {"Name": "Softmax_9", "LayerType": "CaskSoftMaxV2"}
            told["Layers"] += [softmax, "{ForeignNode[Conv_10...Conv_20]}"]
        return json.dumps(told)

    real = _Inspector.get_engine_information
    here.patch.setattr(_Inspector, "get_engine_information", information)
    load_on(here, "dla0")
